// Package schemas holds the arguments and results of the tools: JSON Schema 2020-12 in
// files, and the Go structs that match them. A test compares the two.
//
// The files in this folder are the source. Clients get the files in flat/, which
// go test ./schemas -update makes from them: they have no references, because some clients
// do not resolve any.
package schemas

import (
	"embed"
	"encoding/json"
)

//go:embed flat/*.json
var files embed.FS

// InputSchema returns the input schema of a tool.
func InputSchema(tool string) json.RawMessage { return read(tool + ".input.json") }

// OutputSchema returns the output schema of a tool.
func OutputSchema(tool string) json.RawMessage { return read(tool + ".output.json") }

// read returns a file. It panics if the file is missing, a mistake in this package.
func read(name string) json.RawMessage {
	text, err := files.ReadFile("flat/" + name)
	if err != nil {
		panic(err)
	}
	return text
}
