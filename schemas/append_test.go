package schemas

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

// fill sets everything in v to something that is not zero.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0))
		fill(v.Index(1))
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, 670_000_000, time.UTC)))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.String:
		v.SetString("a \"b\" \\ <c>\n\u2028€\xff")
	case reflect.Bool:
		v.SetBool(true)
	default:
		v.SetInt(-7)
	}
}

// A result is the same whoever encodes it.
func TestAppendJSON(t *testing.T) {
	results := []Result{
		&StartResult{}, &OutputResult{}, &SignalResult{}, &ListResult{}, &WaitResult{},
		&SignalResult{Processes: []Process{}, Survivors: []Survivor{}},
		&ListResult{Processes: []Process{{}, {Usage: &Usage{}}}},
	}
	for _, full := range []Result{&StartResult{}, &OutputResult{}, &SignalResult{}, &ListResult{}, &WaitResult{}} {
		fill(reflect.ValueOf(full).Elem())
		results = append(results, full)
	}
	for _, r := range results {
		name := reflect.TypeOf(r).String()
		want, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var ours, theirs any
		if err := json.Unmarshal(r.AppendJSON(nil), &ours); err != nil {
			t.Errorf("%s: %v in %s", name, err, r.AppendJSON(nil))
		}
		if err := json.Unmarshal(want, &theirs); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(ours, theirs) {
			t.Errorf("%s: got %s\nwant %s", name, r.AppendJSON(nil), want)
		}
	}
}
