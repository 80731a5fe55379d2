package logs

import "time"

// ReadOptions choose what a reader gives out.
type ReadOptions struct {
	Tail       int       // that many lines from the end; negative is all
	Since      time.Time // zero is from the begin
	Until      time.Time // zero is to the end
	Timestamps bool      // each line begins with its time
	Details    bool      // each line begins with the attributes
	Follow     bool      // wait for more
}

// record is what a driver that knows lines keeps: a line, or a part of one.
type record struct {
	stream byte
	time   int64
	text   []byte // with the line feed, if it had one
}
