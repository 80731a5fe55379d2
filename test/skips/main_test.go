package main

import (
	"os"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir + "/" + name
	}
	list := write("list", "* needs root\nTestB/one \n")
	events := write("events", `{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:7: needs root: makes containers\n"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"skip","Package":"p"}
{"Action":"pass","Package":"p","Test":"TestD"}
{"Action":"output","Package":"p","Test":"TestC","Output":"    c_test.go:7: no such thing: here\n"}
{"Action":"skip","Package":"p","Test":"TestC"}
{"Action":"skip","Package":"p","Test":"TestB/one"}
`)
	var out strings.Builder
	n, err := check(&out, list, events)
	const want = "skipped: p TestA: needs root: makes containers\nskipped: p TestB/one: no reason\nskipped: p TestC: no such thing: here (not in the list)\n"
	if n != 1 || err != nil || out.String() != want {
		t.Errorf("%d, %v:\n%s", n, err, &out)
	}
}
