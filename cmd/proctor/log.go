package main

import (
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/lmittmann/tint"
	"github.com/spf13/pflag"
)

type logOptions struct{ level, format string }

func (o *logOptions) register(flags *pflag.FlagSet) {
	flags.StringVar(&o.level, "log-level", "info", "debug, info, warn or error; debug shows commands")
	flags.StringVar(&o.format, "log-format", "text", "text or json")
}

type logger struct{ *slog.Logger }

// open returns a logger that writes to w.
func (o *logOptions) open(w io.Writer) (*logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.level)); err != nil {
		return nil, usage("--log-level is %q; it must be debug, info, warn or error", o.level)
	}
	switch o.format {
	case "json":
		return &logger{slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))}, nil
	case "text":
		return &logger{slog.New(tint.NewTextHandler(w, &tint.Options{
			Level:       level,
			TimeFormat:  time.RFC3339,
			NoColor:     !isTerminal(w),
			ReplaceAttr: escape,
		}))}, nil
	default:
		return nil, usage("--log-format is %q; it must be text or json", o.format)
	}
}

// escape keeps what agents send from steering the terminal that shows the log.
// The handler lets the escape character through.
func escape(_ []string, a slog.Attr) slog.Attr {
	switch a.Key {
	case slog.TimeKey, slog.LevelKey:
		return a
	}
	switch a.Value.Kind() {
	case slog.KindString, slog.KindAny:
		text := a.Value.String()
		if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar }) {
			quoted := strconv.QuoteToASCII(text)
			a.Value = slog.StringValue(quoted[1 : len(quoted)-1])
		}
	}
	return a
}
