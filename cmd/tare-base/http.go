package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// HTTP by hand: net/http would cost every start of every applet 0.5 ms.

// httpHead reads the start line and the fields, names in lower case.
func httpHead(r *bufio.Reader) (start string, fields map[string]string, err error) {
	fields = map[string]string{}
	for n := 0; n < 200; n++ {
		l, err := r.ReadSlice('\n')
		if err != nil {
			return "", nil, err
		}
		s := strings.TrimRight(string(l), "\r\n")
		switch {
		case n == 0:
			start = s
		case s == "":
			return start, fields, nil
		default:
			k, v, _ := strings.Cut(s, ":")
			fields[strings.ToLower(k)] = strings.TrimSpace(v)
		}
	}
	return "", nil, errors.New("too many header fields")
}

func runWget(p *proc, args []string) {
	o, urls := p.getopt(args, "qO:T:S:c quiet=q output-document=O timeout=T spider=c header=S")
	if len(urls) == 0 {
		p.fatalf(1, "usage: wget [-q] [-O FILE] [-T SECONDS] URL...")
	}
	timeout, ok := parseDuration(o.get('T', "60"))
	if !ok {
		p.fatalf(1, "invalid timeout '%s'", o.get('T', ""))
	}
	for _, u := range urls {
		if err := fetch(p, u, o, timeout, 5); err != nil {
			p.failf("%s: %s", u, reason(err))
		}
	}
}

func fetch(p *proc, url string, o options, timeout time.Duration, redirects int) error {
	if strings.HasPrefix(url, "https://") {
		return errors.New("https is not supported")
	}
	host, file, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	addr := host
	if _, _, err := net.SplitHostPort(host); err != nil {
		addr = net.JoinHostPort(strings.Trim(host, "[]"), "80")
	}
	c, err := net.DialTimeout("tcp", addr, timeout)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(timeout))
	extra := ""
	for _, h := range o['S'] {
		extra += h + "\r\n"
	}
	if _, err := fmt.Fprintf(c, "GET /%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: tare-base\r\nConnection: close\r\n%s\r\n", file, host, extra); err != nil {
		return err
	}
	r := bufio.NewReaderSize(c, 32<<10)
	start, head, err := httpHead(r)
	if err != nil {
		return err
	}
	_, status, _ := strings.Cut(start, " ")
	switch {
	case strings.HasPrefix(status, "30") && head["location"] != "" && redirects > 0:
		to := head["location"]
		if strings.HasPrefix(to, "/") {
			to = "http://" + host + to
		}
		return fetch(p, to, o, timeout, redirects-1)
	case !strings.HasPrefix(status, "2"):
		return errors.New("server returned error: " + start)
	case o.has('c'):
		return nil
	}
	name := o.get('O', path.Base("/"+strings.SplitN(file, "?", 2)[0]))
	if name == "/" {
		name = "index.html"
	}
	out := io.Writer(p.out)
	if name != "-" {
		f, err := os.Create(name)
		if err != nil {
			return err
		}
		defer f.Close()
		out = f
	}
	n, err := httpBody(out, r, head)
	if err == nil && !o.has('q') {
		fmt.Fprintf(p.err, "'%s' saved, %d bytes\n", name, n)
	}
	return err
}

// httpBody copies a body by its chunks, its length, or up to the end.
func httpBody(w io.Writer, r *bufio.Reader, head map[string]string) (int64, error) {
	if strings.EqualFold(head["transfer-encoding"], "chunked") {
		var total int64
		for {
			l, err := r.ReadString('\n')
			if err != nil {
				return total, err
			}
			size, _, _ := strings.Cut(strings.TrimSpace(l), ";")
			n, err := strconv.ParseInt(size, 16, 64)
			if err != nil || n < 0 {
				return total, errors.New("malformed chunk")
			}
			if n == 0 {
				return total, nil
			}
			k, err := io.CopyN(w, r, n)
			total += k
			if err != nil {
				return total, err
			}
			if _, err := r.ReadString('\n'); err != nil {
				return total, err
			}
		}
	}
	if n, err := strconv.ParseInt(head["content-length"], 10, 64); err == nil {
		return io.CopyN(w, r, n)
	}
	return io.Copy(w, r)
}

func runHttpd(p *proc, args []string) {
	o, _ := p.getopt(args, "fp:h:v foreground=f port=p home=h")
	home, err := os.OpenRoot(o.get('h', "."))
	if err != nil {
		p.fatalf(1, "%s: %s", o.get('h', "."), reason(err))
	}
	addr := o.get('p', "80")
	if !strings.Contains(addr, ":") {
		addr = ":" + addr
	}
	var l net.Listener
	if os.Getenv(listenEnv) != "" {
		l, err = net.FileListener(os.NewFile(listenFD, "listener"))
	} else {
		l, err = net.Listen("tcp", addr)
	}
	if err != nil {
		p.fatalf(1, "%s: %s", addr, reason(err))
	}
	if !o.has('f') {
		detach(p, l.(*net.TCPListener))
		return
	}
	for {
		c, err := l.Accept()
		if err != nil {
			p.fatalf(1, "%s", reason(err))
		}
		go func() {
			serve(c, home)
			_ = c.Close()
		}()
	}
}

// The server in the background finds its socket here.
const (
	listenEnv = "TARE_HTTPD_LISTENS"
	listenFD  = 3
)

// detach starts the same again in the background, in the foreground mode; who
// started this one can connect as soon as it ends.
func detach(p *proc, l *net.TCPListener) {
	socket, err := l.File()
	if err != nil {
		p.fatalf(1, "%s", reason(err))
	}
	args := append([]string{os.Args[0]}, os.Args[1:]...)
	dev, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		p.fatalf(1, "%s", reason(err))
	}
	_, err = os.StartProcess("/proc/self/exe", append(args, "-f"), &os.ProcAttr{
		Env:   append(os.Environ(), listenEnv+"=1"),
		Files: []*os.File{dev, dev, os.Stderr, socket}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		p.fatalf(1, "%s", reason(err))
	}
}

func serve(c net.Conn, home *os.Root) {
	r := bufio.NewReaderSize(c, 16<<10)
	for {
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		start, head, err := httpHead(r)
		if err != nil {
			return
		}
		f := strings.Fields(start)
		if len(f) != 3 {
			respond(c, "400 Bad Request", "text/plain", nil, 0, true)
			return
		}
		closing := f[2] == "HTTP/1.0" || strings.EqualFold(head["connection"], "close")
		if f[0] != "GET" && f[0] != "HEAD" {
			respond(c, "501 Not Implemented", "text/plain", nil, 0, true)
			return
		}
		serveFile(c, home, f[1], f[0] == "HEAD", closing)
		if closing {
			return
		}
	}
}

func serveFile(c net.Conn, home *os.Root, target string, headOnly, closing bool) {
	name, _, _ := strings.Cut(target, "?")
	name = strings.TrimPrefix(path.Clean("/"+unquote(name)), "/")
	if name == "" {
		name = "."
	}
	file, err := home.Open(name)
	if err == nil {
		if fi, e := file.Stat(); e == nil && fi.IsDir() {
			_ = file.Close()
			name = path.Join(name, "index.html")
			file, err = home.Open(name)
		}
	}
	if err != nil {
		s := "404 Not Found"
		if errors.Is(err, os.ErrPermission) {
			s = "403 Forbidden"
		}
		respond(c, s, "text/plain", strings.NewReader(s+"\n"), int64(len(s)+1), closing)
		return
	}
	defer file.Close()
	fi, err := file.Stat()
	if err != nil {
		return
	}
	body := io.Reader(file)
	if headOnly {
		body = nil
	}
	respond(c, "200 OK", contentType(name), body, fi.Size(), closing)
}

func respond(c net.Conn, status, kind string, body io.Reader, n int64, closing bool) {
	conn := "keep-alive"
	if closing {
		conn = "close"
	}
	fmt.Fprintf(c, "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: %s\r\n\r\n", status, kind, n, conn)
	if body != nil {
		_, _ = io.CopyN(c, body, n)
	}
}

func contentType(name string) string {
	switch path.Ext(name) {
	case ".html", ".htm":
		return "text/html"
	case ".css":
		return "text/css"
	case ".js":
		return "text/javascript"
	case ".json":
		return "application/json"
	case ".svg":
		return "image/svg+xml"
	case ".png":
		return "image/png"
	case ".txt", ".sh", ".md":
		return "text/plain"
	}
	return "application/octet-stream"
}

// unquote undoes %XX.
func unquote(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
