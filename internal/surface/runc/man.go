package runc

import (
	"fmt"
	"strings"
	"time"

	"github.com/tare-engine/tare/internal/lib/flags"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
)

// Man writes the manual page, section 1, into a directory that exists. The
// date is not today's, so that a build can be repeated.
func Man(dir string, date time.Time) error {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH TARE-OCI 1 %q tare tare\n", date.Format("January 2006"))
	b.WriteString(".SH NAME\ntare-oci \\- run containers of OCI bundles, with the command line of runc\n" +
		".SH SYNOPSIS\n.B tare-oci\n[OPTIONS] COMMAND [ARGUMENTS]\n.SH OPTIONS\n")
	manRows(&b, New().globalHelp())
	b.WriteString(".SH COMMANDS\n")
	for i := range commands {
		c := &commands[i]
		fmt.Fprintf(&b, ".SS %s\n", roff(strings.TrimSpace(c.name+" [OPTIONS] "+c.args)))
		b.WriteString(roff(c.short) + ".\n")
		manRows(&b, c.rows())
	}
	b.WriteString(".SH EXIT STATUS\n1 for an error, 255 for an exec that did not happen, else that of the container's program.\n" +
		".SH SEE ALSO\n.BR tare (1),\nhttps://github.com/opencontainers/runtime-spec\n")
	return fsatomic.WriteFile(dir+"/tare-oci.1", []byte(b.String()), 0o644, fsatomic.Volatile)
}

// manRows writes flags as a list.
func manRows(b *strings.Builder, rows []flags.Flag) {
	for i := range rows {
		fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roff(left(&rows[i])), roff(right(&rows[i])))
	}
}

func roff(s string) string { return strings.NewReplacer(`\`, `\\`, "-", `\-`).Replace(s) }
