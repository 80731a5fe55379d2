package logs

import (
	"bytes"
	"time"
)

// k8sFormat is the file of CRI and of Podman's k8s-file:
//
//	2026-01-02T03:04:05.678000000Z stdout F a whole line, or the end of one
//	2026-01-02T03:04:05.678000000Z stderr P a part that others follow
//
// Any bytes but the line feed stand for themselves, so it holds any output.
type k8sFormat struct{}

func (k8sFormat) holds() bool { return false }

// k8sTime is RFC 3339 with all nine digits.
const k8sTime = "2006-01-02T15:04:05.000000000Z07:00"

func (k8sFormat) record(b []byte, stream byte, line []byte, part bool, t time.Time) []byte {
	b = t.UTC().AppendFormat(b, k8sTime)
	b = append(b, ' ')
	b = append(b, streamName(stream)...)
	if part {
		b = append(b, " P "...)
	} else {
		b = append(b, " F "...)
	}
	b = append(b, line...)
	return append(b, '\n')
}

// k8sLine reads one record; line is without its line feed. The text is
// appended to b.
func k8sLine(b, line []byte) (r record, _ bool) {
	when, rest, ok := bytes.Cut(line, []byte(" "))
	t, err := time.Parse(time.RFC3339Nano, string(when))
	stream, rest, ok2 := bytes.Cut(rest, []byte(" "))
	tags, text, ok3 := bytes.Cut(rest, []byte(" "))
	if err != nil || !ok || !ok2 || !ok3 || len(tags) == 0 {
		return r, false
	}
	r.time, r.stream = t.UnixNano(), Stdout
	if string(stream) == "stderr" {
		r.stream = Stderr
	}
	n := len(b)
	b = append(b, text...)
	if tags[0] == 'F' { // further tags may follow after a colon
		b = append(b, '\n')
	}
	r.text = b[n:]
	return r, true
}
