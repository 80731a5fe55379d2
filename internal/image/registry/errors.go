package registry

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// passing tells the status codes of trouble that may pass.
func passing(code int) bool {
	switch code {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// passingError tells a connection that broke from one that cannot be.
func passingError(err error) bool {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return dns.IsTimeout
	}
	var ne net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) || errors.As(err, &ne) && ne.Timeout()
}

// explained says what to do about a server that cannot be believed.
func (k *conn) explained(err error) error {
	var plain tls.RecordHeaderError
	var authority x509.UnknownAuthorityError
	switch {
	case errors.As(err, &plain), errors.Is(err, http.ErrSchemeMismatch):
		return fault.WithHint(fault.New(fault.Denied, "%s does not speak HTTPS", k.e.Host), "if that is right, say insecure = true of it in registries.toml")
	case errors.As(err, &authority):
		return fault.WithHint(fault.New(fault.Denied, "%s: %w", k.e.Host, plainError(err)), "if that is right, put the certificate of its authority into /etc/tare/certs.d/"+k.e.Host)
	}
	return err
}

// retryAfter reads the header: seconds or a date (RFC 9110, 10.2.3).
func retryAfter(s string, now time.Time) (time.Duration, bool) {
	if s == "" {
		return 0, false
	}
	if n, err := strconv.Atoi(s); err == nil && n >= 0 {
		return time.Duration(n) * time.Second, true
	}
	t, err := http.ParseTime(s)
	if err != nil {
		return 0, false
	}
	return max(t.Sub(now), 0), true
}

// StatusError is an answer that was no success.
type StatusError struct {
	Status int
	Code   string // of the registry: MANIFEST_UNKNOWN, …
	Text   string
}

func (e *StatusError) Error() string {
	s := strconv.Itoa(e.Status) + " " + http.StatusText(e.Status)
	if e.Text != "" {
		s += " (" + e.Text + ")"
	}
	return s
}

const maxErrorBody = 16 << 10

// statusError reads the errors that a registry sends (distribution-spec,
// "error codes").
func statusError(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // an extra
	var list struct {
		Errors []struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	err := &StatusError{Status: resp.StatusCode}
	if json.Unmarshal(body, &list) == nil && len(list.Errors) > 0 {
		err.Code, err.Text = list.Errors[0].Code, list.Errors[0].Message
		if err.Text == "" {
			err.Text = strings.ToLower(strings.ReplaceAll(err.Code, "_", " "))
		}
	}
	kind := fault.Unavailable
	switch resp.StatusCode {
	case http.StatusNotFound:
		kind = fault.NotFound
	case http.StatusForbidden, http.StatusUnauthorized:
		kind = fault.Denied
	case http.StatusMethodNotAllowed:
		kind = fault.Unsupported
	}
	return fault.New(kind, "%s: %w", resp.Request.URL.Host, err)
}

// isStatus reports whether err is an answer with that status.
func isStatus(err error, status int) bool {
	var e *StatusError
	return errors.As(err, &e) && e.Status == status
}

// plainError leaves out the request that the reader of the message knows.
func plainError(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err
	}
	return err
}
