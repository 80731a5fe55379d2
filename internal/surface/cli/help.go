package cli

import "strings"

// help renders the help of a command, wrapped at width columns; 0 does not
// wrap.
func help(c *Command, width int) string {
	var b strings.Builder
	b.WriteString("Usage:  tare")
	if c.Name != "" {
		b.WriteString(" " + c.Name)
	}
	if c.Name != "" && len(c.Flags) > 0 {
		b.WriteString(" [OPTIONS]")
	}
	if c.Args != "" {
		b.WriteString(" " + c.Args)
	}
	b.WriteString("\n\n")
	if c.Name == "" {
		b.WriteString("Run containers without a daemon\n")
		commandList(&b, Commands())
	} else {
		b.WriteString(c.Short + "\n")
	}
	if c.Long != "" {
		b.WriteString("\n" + c.Long + "\n")
	}
	if len(c.Aliases) > 0 {
		b.WriteString("\nAliases:\n  tare " + c.Name)
		for _, a := range c.Aliases {
			b.WriteString(", tare " + a)
		}
		b.WriteByte('\n')
	}
	flagList(&b, c, width)
	if c.Example != "" {
		b.WriteString("\nExamples:\n")
		for line := range strings.SplitSeq(c.Example, "\n") {
			b.WriteString("  " + line + "\n")
		}
	}
	if c.Name == "" {
		b.WriteString("\nRun 'tare COMMAND --help' for more on a command.\n")
	}
	return b.String()
}

func commandList(b *strings.Builder, commands []Command) {
	b.WriteString("\nCommands:\n")
	longest := 0
	for i := range commands {
		if !commands[i].Hidden {
			longest = max(longest, len(commands[i].Name))
		}
	}
	for i := range commands {
		if c := &commands[i]; !c.Hidden {
			b.WriteString("  " + c.Name)
			pad(b, longest-len(c.Name)+2)
			b.WriteString(c.Short + "\n")
		}
	}
}

func flagList(b *strings.Builder, c *Command, width int) {
	longest, shown := 0, false
	for i := range c.Flags {
		if f := &c.Flags[i]; !f.Hidden {
			shown = true
			longest = max(longest, len(f.Name)+len(f.Value)+1)
		}
	}
	if !shown {
		return
	}
	if c.Name == "" {
		b.WriteString("\nGlobal options:\n")
	} else {
		b.WriteString("\nOptions:\n")
	}
	indent := longest + 11 // "  -x, --" and three spaces
	for i := range c.Flags {
		f := &c.Flags[i]
		if f.Hidden {
			continue
		}
		if f.Short != 0 {
			b.WriteString("  -" + string(f.Short) + ", --")
		} else {
			b.WriteString("      --")
		}
		name := f.Name
		if f.Value != "" {
			name += " " + f.Value
		}
		b.WriteString(name)
		pad(b, indent-8-len(name))
		usage := f.Usage
		if f.Default != "" {
			usage += " (default " + f.Default + ")"
		}
		wrap(b, usage, indent, width)
	}
}

func pad(b *strings.Builder, n int) {
	for range n {
		b.WriteByte(' ')
	}
}

// wrap writes text that starts at column indent, breaking lines at width. On
// a terminal too narrow for that it does not break.
func wrap(b *strings.Builder, text string, indent, width int) {
	room := width - indent
	if room < 20 {
		b.WriteString(text + "\n")
		return
	}
	col := 0
	for word := range strings.FieldsSeq(text) {
		if col > 0 && col+1+len(word) > room {
			b.WriteByte('\n')
			pad(b, indent)
			col = 0
		}
		if col > 0 {
			b.WriteByte(' ')
			col++
		}
		b.WriteString(word)
		col += len(word)
	}
	b.WriteByte('\n')
}
