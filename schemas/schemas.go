// Package schemas holds what the tools take and give: JSON Schema 2020-12 in
// files, and the Go structs that match them. A test compares the two.
package schemas

import (
	"embed"
	"encoding/json"
	"fmt"
	"maps"
)

//go:embed *.json
var files embed.FS

// InputSchema returns the input schema of a tool.
func InputSchema(tool string) json.RawMessage { return flat(tool + ".input.json") }

// OutputSchema returns the output schema of a tool.
func OutputSchema(tool string) json.RawMessage { return flat(tool + ".output.json") }

// flat returns a schema without references: what allOf and anyOf name becomes
// part of it, since some clients resolve no reference. A file that cannot be
// read is a mistake in this package.
func flat(name string) json.RawMessage {
	text, err := json.Marshal(load(name))
	if err != nil {
		panic(err)
	}
	return text
}

type schema = map[string]any

func load(name string) schema {
	text, err := files.ReadFile(name)
	if err != nil {
		panic(err)
	}
	var s schema
	if err := json.Unmarshal(text, &s); err != nil {
		panic(fmt.Errorf("%s: %w", name, err))
	}
	return resolve(s).(schema)
}

// resolve replaces references below v by what they name.
func resolve(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = resolve(v[i])
		}
	case schema:
		if ref, ok := v["$ref"].(string); ok {
			return load(ref)
		}
		for key := range v {
			v[key] = resolve(v[key])
		}
		merge(v, "allOf", true)
		merge(v, "anyOf", false)
	}
	return v
}

// merge makes the properties of the schemas under key properties of s, and what
// they require required if all of them hold.
func merge(s schema, key string, all bool) {
	parts, _ := s[key].([]any)
	delete(s, key)
	for _, part := range parts {
		part := part.(schema)
		if properties, ok := part["properties"].(schema); ok {
			if s["properties"] == nil {
				s["properties"] = schema{}
			}
			maps.Copy(s["properties"].(schema), properties)
		}
		if required, ok := part["required"].([]any); ok && all {
			own, _ := s["required"].([]any)
			s["required"] = append(own, required...)
		}
	}
}
