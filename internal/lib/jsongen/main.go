// Jsongen writes what encodes and decodes JSON without reflection: for each
// type that is named, and all that it contains, a function appendT that gives
// the bytes of encoding/json, and a function readT that reads what
// encoding/json would (package jsonread says with which exceptions). With
// append: or read: in front of a name there is only the one; a type of another
// package has that package's path in front.
//
//	//go:generate go run ../lib/jsongen -o record_json.go Record read:example.org/specs.Spec
//
// What it does not know it refuses.
package main

import (
	"flag"
	"log"
	"os"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("jsongen: ")
	out := flag.String("o", "", "the file to write, in this directory")
	flag.Parse()
	text, err := generate(".", *out, flag.Args())
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(*out, text, 0o644); err != nil { //nolint:forbidigo // a tool, run by hand
		log.Fatal(err)
	}
}
