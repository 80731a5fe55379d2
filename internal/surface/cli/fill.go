package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// simpleTemplate splits a template into texts and what stands between them:
// ".A.B", "json .A.B" or "json .". It fails where more of a language is used.
func simpleTemplate(format string) (texts, exprs []string, ok bool) {
	rest := strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(format)
	for {
		text, after, found := strings.Cut(rest, "{{")
		texts = append(texts, text)
		if !found {
			return texts, exprs, true
		}
		expr, more, closed := strings.Cut(after, "}}")
		expr = strings.TrimSpace(expr)
		path, isJSON := strings.CutPrefix(expr, "json ")
		if !closed || path == "" || path[0] != '.' || path == "." && !isJSON || strings.ContainsAny(path, " |()\"`$-:") {
			return nil, nil, false
		}
		exprs, rest = append(exprs, expr), more
	}
}

// Fill fills in a template with one value. Plain fields and json are done
// here, the rest is tared's.
//
// Precondition: nothing has been changed or printed yet.
func (app *App) Fill(format string, v any) (string, error) {
	if s, ok := fillSimple(format, v); ok {
		return s, nil
	}
	t, err := app.Compile(format)
	if err != nil {
		return "", err
	}
	return t(v)
}

func fillSimple(format string, v any) (string, bool) {
	texts, exprs, ok := simpleTemplate(format)
	if !ok {
		return "", false
	}
	var b strings.Builder
	for i, text := range texts {
		b.WriteString(text)
		if i == len(exprs) {
			break
		}
		path, isJSON := strings.CutPrefix(exprs[i], "json ")
		value, ok := walk(reflect.ValueOf(v), strings.TrimPrefix(path, "."))
		if !ok {
			return "", false
		}
		if isJSON {
			text, err := compactJSON(value.Interface())
			if err != nil {
				return "", false
			}
			b.Write(text)
			continue
		}
		s, ok := scalar(value)
		if !ok {
			return "", false
		}
		b.WriteString(s)
	}
	return b.String(), true
}

// walk follows the names of struct fields and map keys.
func walk(v reflect.Value, path string) (reflect.Value, bool) {
	for name := range strings.SplitSeq(path, ".") {
		for v.Kind() == reflect.Pointer && !v.IsNil() {
			v = v.Elem()
		}
		if name == "" {
			continue
		}
		switch v.Kind() {
		case reflect.Struct:
			f, ok := v.Type().FieldByName(name)
			if !ok || !f.IsExported() {
				return v, false
			}
			var err error
			if v, err = v.FieldByIndexErr(f.Index); err != nil {
				return v, false // below a nil pointer
			}
		case reflect.Map:
			key := reflect.ValueOf(name)
			if !key.CanConvert(v.Type().Key()) {
				return v, false
			}
			v = v.MapIndex(key.Convert(v.Type().Key()))
		default:
			return v, false
		}
		if !v.IsValid() {
			return v, false
		}
	}
	return v, true
}

// scalar prints a value as text/template does, unless that would ask it how.
func scalar(v reflect.Value) (string, bool) {
	switch v.Interface().(type) {
	case fmt.Stringer, fmt.Formatter, error:
		return "", false
	}
	switch v.Kind() {
	case reflect.String:
		return v.String(), true
	case reflect.Bool:
		return strconv.FormatBool(v.Bool()), true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10), true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(v.Uint(), 10), true
	default:
		return "", false
	}
}

// compactJSON is JSON in one line, as Docker writes it: < and > as they are.
func compactJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
