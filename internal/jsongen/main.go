// Jsongen writes JSON encoders that need no reflection: for each named type
// and all that it contains, a function appendT that gives the bytes of
// encoding/json. What it does not know it refuses.
//
//	//go:generate go run ../internal/jsongen -o record_json.go Record Pending
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
