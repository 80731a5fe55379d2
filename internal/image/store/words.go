package store

import (
	"strings"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// splitWords splits at blanks that are not quoted. Quotes and backslashes stay:
// see expand.
func splitWords(s string) ([]string, error) {
	var words []string
	begin, quote := -1, byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		if begin < 0 && c != ' ' && c != '\t' {
			begin = i
		}
		switch {
		case c == '\\' && quote != '\'':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case (c == ' ' || c == '\t') && begin >= 0:
			words, begin = append(words, s[begin:i]), -1
		}
	}
	if quote != 0 {
		return nil, fault.New(fault.Invalid, "a quote is not closed")
	}
	if begin >= 0 {
		words = append(words, s[begin:])
	}
	return words, nil
}

// expand takes the quotes and backslashes of a Dockerfile's word away and puts in
// the values of variables, as Docker does: $NAME, ${NAME}, and with :- - :+ + :? ?
// behind the name what a shell makes of them. Nothing is expanded in single quotes
// or behind a backslash.
func expand(s string, env []string) (string, error) {
	var out strings.Builder
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && quote != '\'' && i+1 < len(s):
			i++
			// In double quotes a backslash is one, but before what it protects.
			if quote == '"' && !strings.ContainsRune("\"\\$", rune(s[i])) {
				out.WriteByte(c)
			}
			out.WriteByte(s[i])
		case c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case c == '$' && quote != '\'':
			value, n, err := variable(s[i+1:], env)
			if err != nil {
				return "", err
			}
			out.WriteString(value)
			i += n
		default:
			out.WriteByte(c)
		}
	}
	if quote != 0 {
		return "", fault.New(fault.Invalid, "a quote is not closed")
	}
	return out.String(), nil
}

// variable is the value of the variable that s begins with, behind its $, and how
// much of s names it.
func variable(s string, env []string) (value string, n int, err error) {
	if !strings.HasPrefix(s, "{") {
		if n = nameLen(s); n == 0 {
			return "$", 0, nil
		}
		value, _ = envOf(env, s[:n])
		return value, n, nil
	}
	end := closing(s)
	if end < 0 {
		return "", 0, fault.New(fault.Invalid, "${ is not closed")
	}
	name := s[1 : 1+nameLen(s[1:])]
	rest := s[1+len(name) : end]
	if name == "" {
		return "", 0, fault.New(fault.Invalid, "%q names no variable", "$"+s[:end+1])
	}
	value, set := envOf(env, name)
	if rest == "" {
		return value, end + 1, nil
	}
	op, word := rest[0], rest[1:]
	if op == ':' && word != "" {
		set = set && value != ""
		op, word = word[0], word[1:]
	}
	if word, err = expand(word, env); err != nil {
		return "", 0, err
	}
	switch {
	case op == '-' && !set, op == '+' && set:
		return word, end + 1, nil
	case op == '-':
		return value, end + 1, nil
	case op == '+':
		return "", end + 1, nil
	case op == '?' && set:
		return value, end + 1, nil
	case op == '?':
		if word == "" {
			word = "not set"
		}
		return "", 0, fault.New(fault.Invalid, "%s: %s", name, word)
	}
	return "", 0, fault.New(fault.Invalid, "%q: this expansion is not supported", "$"+s[:end+1])
}

// closing finds the brace that closes the one that s begins with, or -1.
func closing(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// nameLen is how much of s is the name of a variable.
func nameLen(s string) int {
	for i, c := range []byte(s) {
		letter := c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return i
		}
	}
	return len(s)
}

func envOf(env []string, name string) (string, bool) {
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v, true
		}
	}
	return "", false
}
