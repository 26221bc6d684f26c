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

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/proctor-mcp/proctor/schemas"
)

// arguments checks and decodes the arguments of one tool.
type arguments struct {
	tool   string
	schema func() *jsonschema.Schema // compiled at the first call: it would be felt at the start
}

func newArguments(tool string) arguments {
	return arguments{tool, sync.OnceValue(func() *jsonschema.Schema {
		text, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemas.InputSchema(tool)))
		if err != nil {
			panic(err)
		}
		c := jsonschema.NewCompiler()
		c.DefaultDraft(jsonschema.Draft2020)
		if err := c.AddResource(tool, text); err != nil {
			panic(err)
		}
		return c.MustCompile(tool)
	})}
}

// argumentError says what is wrong with the arguments, field by field.
type argumentError struct{ problems []string }

func (e *argumentError) Error() string { return strings.Join(e.problems, "; ") }

// decode checks raw against the schema of the tool, then fills in.
func (a arguments) decode(raw json.RawMessage, in any) error {
	if len(raw) == 0 || string(raw) == "null" {
		raw = json.RawMessage("{}")
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return &argumentError{[]string{"arguments: not valid JSON"}}
	}
	schema := a.schema()
	err = schema.Validate(bounded(value))
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

// bounded replaces the numbers in v by ones that are written out. The validator
// computes exactly: 1e1000000000 would cost it a gigabyte.
func bounded(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key := range v {
			v[key] = bounded(v[key])
		}
	case []any:
		for i := range v {
			v[i] = bounded(v[i])
		}
	case json.Number:
		const most = 1e18   // beyond every limit of every argument
		f, _ := v.Float64() // out of range is infinite
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
		field = clip(strings.Join(e.InstanceLocation, "."))
	}
	say := func(format string, args ...any) []string {
		return []string{field + ": " + fmt.Sprintf(format, args...)}
	}
	switch k := e.ErrorKind.(type) {
	case *kind.Type:
		return say("got %s, must be %s", article(k.Got), article(strings.Join(k.Want, " or ")))
	case *kind.Required:
		for _, name := range k.Missing {
			list = append(list, name+": is missing")
		}
		return list
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			list = append(list, fmt.Sprintf("%s: unknown argument, must be one of %s", clip(name), known(schema)))
		}
		return list
	case *kind.Enum:
		return say("got %s, must be one of %s", shown(k.Got), options(k.Want))
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

func known(schema *jsonschema.Schema) string {
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

func shown(v any) string { return fmt.Sprintf("%.60q", fmt.Sprint(v)) }

func number(r *big.Rat) string {
	if r.IsInt() {
		return clip(r.Num().String())
	}
	return clip(r.FloatString(3))
}

// clip shortens what came from outside before it is said back.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
