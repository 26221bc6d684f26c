package main

import (
	"fmt"
	"io"
	"log/slog"
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
		return &logger{slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: replaceText(asciiControls)}))}, nil
	case "text":
		return &logger{slog.New(tint.NewTextHandler(w, &tint.Options{
			Level:       level,
			TimeFormat:  time.RFC3339,
			NoColor:     !isTerminal(w),
			ReplaceAttr: replaceText(escapeCharacter),
		}))}, nil
	default:
		return nil, usage("--log-format is %q; it must be text or json", o.format)
	}
}

// replaceText returns a ReplaceAttr for slog. With it, text from agents cannot control
// the terminal that shows the log.
func replaceText(replace func(string) string) func([]string, slog.Attr) slog.Attr {
	return func(_ []string, a slog.Attr) slog.Attr {
		if kind := a.Value.Kind(); a.Key != slog.TimeKey && a.Key != slog.LevelKey && (kind == slog.KindString || kind == slog.KindAny) {
			a.Value = slog.StringValue(replace(a.Value.String()))
		}
		return a
	}
}

// escapeCharacter replaces the one control character that the text handler does not
// quote.
func escapeCharacter(s string) string { return strings.ReplaceAll(s, "\x1b", "␛") }

// asciiControls escapes what encoding/json does not: control characters above ASCII, and
// the marks that change the direction of writing.
func asciiControls(s string) string {
	hidden := func(r rune) bool { return r >= 0x7f && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) }
	if !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if hidden(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
