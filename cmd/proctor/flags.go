package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/proctor-mcp/proctor/tools"
)

// checkFlags refuses a flag with an empty text, which most often comes from an empty
// variable: --launcher "$SANDBOX" must not start a server without a sandbox.
func checkFlags(cmd *cobra.Command, _ []string) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		list, isList := f.Value.(pflag.SliceValue)
		if isList && strings.Join(list.GetSlice(), "") == "" || f.Value.Type() == "string" && f.Value.String() == "" {
			err = usage("--%s is empty; give it a value, or leave it out", f.Name)
		}
	})
	return err
}

// flagError says which values a flag takes. The parser's own error does not.
func flagError(_ *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err
	}
	want := "another value: " + tools.Cause(err).Error()
	switch invalid.GetFlag().Value.Type() {
	case "int", "int64":
		want = "a whole number"
	case "duration":
		want = "a time with its unit, such as 500ms, 5s or 2m"
	case "size":
		want = "a number of bytes, or a size such as 512MiB"
	case "bool":
		want = "true or false"
	}
	return usage("--%s is %q; it must be %s", invalid.GetFlag().Name, invalid.GetValue(), want)
}

// noArgs refuses arguments, for commands that take only flags.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("%s takes no arguments, and got %q", cmd.CommandPath(), args[0])
	}
	return nil
}

// atLeastZero refuses a limit below 0.
func atLeastZero(flag string, limit int) error {
	if limit < 0 {
		return usage("--%s is %d; it must be at least 0, which is no limit", flag, limit)
	}
	return nil
}

// refuseUnknownTopics makes "proctor help WORD" fail for a word that has no help.
func refuseUnknownTopics(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		if c.Name() != "help" {
			continue
		}
		c.Args = func(_ *cobra.Command, args []string) error {
			if found, rest, err := root.Find(args); err != nil || len(rest) > 0 && found != c {
				return usage("there is no help on %q", strings.Join(args, " "))
			}
			return nil
		}
	}
}
