// Package schemas holds what the tools take and give: JSON Schema 2020-12 in
// files, and the Go structs that match them. A test compares the two.
//
// The files in this folder are the source. What clients are shown stands in
// flat/, made from them by go test ./schemas -update: without references, since
// some clients resolve none.
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

// read returns a file; one that is not there is a mistake in this package.
func read(name string) json.RawMessage {
	text, err := files.ReadFile("flat/" + name)
	if err != nil {
		panic(err)
	}
	return text
}
