package tools

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/proctor-mcp/proctor/schemas"
)

// arguments checks and decodes the arguments of one tool.
type arguments struct {
	tool   string
	schema func() *jsonschema.Schema // compiled at the first call, so that the server starts sooner
}

func newArguments(tool string) arguments {
	return arguments{tool, sync.OnceValue(func() *jsonschema.Schema {
		text, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemas.InputSchema(tool)))
		if err != nil {
			panic(err)
		}
		c := jsonschema.NewCompiler()
		c.DefaultDraft(jsonschema.Draft2020)
		// Without a scheme the compiler takes the name for a file in the working directory.
		url := "proctor:" + tool
		if err := c.AddResource(url, text); err != nil {
			panic(err)
		}
		return c.MustCompile(url)
	})}
}

// decode checks raw against the schema of the tool, and decodes it into in.
func (a arguments) decode(raw json.RawMessage, in any) error {
	if len(raw) == 0 || string(raw) == "null" {
		raw = json.RawMessage("{}")
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	switch {
	case err != nil:
		return &argumentError{[]string{"arguments: not valid JSON"}}
	case !jsontext.Value(raw).IsValid(jsontext.AllowDuplicateNames(true)):
		// It is JSON, but with bytes that are not UTF-8, or with half a surrogate
		// pair. Decoding would replace them by U+FFFD and run another command.
		return &argumentError{[]string{"arguments: not valid Unicode"}}
	}
	schema := a.schema()
	err = schema.Validate(boundNumbers(value))
	var invalid *jsonschema.ValidationError
	if errors.As(err, &invalid) {
		return &argumentError{a.problems(schema, invalid)}
	}
	if err == nil {
		err = json.Unmarshal(raw, in)
	}
	if err != nil {
		return &argumentError{[]string{"arguments: " + err.Error()}}
	}
	return nil
}

// boundNumbers replaces the large numbers in v and writes out those with an exponent.
// The validator computes exactly: 1e1000000000 would cost it a gigabyte.
func boundNumbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key := range v {
			v[key] = boundNumbers(v[key])
		}
	case []any:
		for i := range v {
			v[i] = boundNumbers(v[i])
		}
	case json.Number:
		const most = 1e18   // more than any argument may be
		f, _ := v.Float64() // infinite if it is out of range
		if abs := math.Abs(f); abs < most && len(v) < 20 && !strings.ContainsAny(v.String(), "eE") {
			return v
		}
		return json.Number(strconv.FormatFloat(max(-most, min(most, f)), 'f', -1, 64))
	}
	return v
}

// problems turns a validation error into one sentence per field.
func (a arguments) problems(schema *jsonschema.Schema, e *jsonschema.ValidationError) (list []string) {
	for _, cause := range e.Causes {
		list = append(list, a.problems(schema, cause)...)
	}
	if len(e.Causes) > 0 {
		slices.Sort(list)
		return slices.Compact(list)
	}
	field := "arguments"
	if len(e.InstanceLocation) > 0 {
		field = excerpt(strings.Join(e.InstanceLocation, "."))
	}
	say := func(format string, args ...any) []string {
		return []string{field + ": " + fmt.Sprintf(format, args...)}
	}
	switch k := e.ErrorKind.(type) {
	case *kind.Type:
		if names := propertyNames(schema, e); names != "" && len(e.InstanceLocation) > 0 && slices.Equal(k.Want, []string{"object"}) {
			return say("got %s, must be an object that can have %s", article(k.Got), names)
		}
		return say("got %s, must be %s", article(k.Got), article(strings.Join(k.Want, " or ")))
	case *kind.Required:
		for _, name := range k.Missing {
			list = append(list, pathOf(e, name)+": is missing")
		}
		return list
	case *kind.AdditionalProperties:
		slices.Sort(k.Properties)
		return []string{fmt.Sprintf("%s: unknown argument, must be one of %s", excerpt(pathOf(e, strings.Join(k.Properties, ", "))), propertyNames(schema, e))}
	case *kind.MinProperties:
		return say("is empty; must have one of %s", propertyNames(schema, e))
	case *kind.MinItems:
		return say("is empty; must have at least %d", k.Want)
	case *kind.MaxItems:
		return say("got %d, must be at most %d", k.Got, k.Want)
	case *kind.Enum:
		return say("got %s, must be one of %s", quoteShort(k.Got), options(k.Want))
	case *kind.MinLength:
		if k.Want == 1 {
			return say("is empty; must be at least one character")
		}
		return say("is too short: must be at least %d characters", k.Want)
	case *kind.MaxLength:
		return say("got %d characters, must be at most %d", k.Got, k.Want)
	case *kind.Minimum:
		return say("got %s, must be at least %s", number(k.Got), number(k.Want))
	case *kind.Maximum:
		return say("got %s, must be at most %s", number(k.Got), number(k.Want))
	default:
		return say("is not what the schema of %s allows", a.tool)
	}
}

// pathOf returns the path of a property of the object that an error is about.
func pathOf(e *jsonschema.ValidationError, name string) string {
	return strings.Join(append(slices.Clip(e.InstanceLocation), name), ".")
}

// propertyNames lists the properties that the object an error is about can have.
func propertyNames(schema *jsonschema.Schema, e *jsonschema.ValidationError) string {
	for _, name := range e.InstanceLocation {
		if schema = schema.Properties[name]; schema == nil {
			return "" // it is in a list, or in an object whose properties may have any name
		}
	}
	var names []string
	for name := range schema.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func article(kind string) string {
	switch kind[0] {
	case 'a', 'i', 'o':
		return "an " + kind
	case 'n':
		if kind == "null" {
			return kind
		}
	}
	return "a " + kind
}

func options(values []any) string {
	var list []string
	for _, v := range values {
		list = append(list, fmt.Sprint(v))
	}
	return strings.Join(list, ", ")
}

func number(r *big.Rat) string {
	if r.IsInt() {
		return excerpt(r.Num().String())
	}
	return excerpt(r.FloatString(3))
}
