package tools

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/proctor-mcp/proctor/caller"
	"github.com/proctor-mcp/proctor/procmgr"
)

// internalWords are for errors that an agent cannot mend; the log says more.
const internalWords = "Something went wrong inside the server; its log says what. Call process_list to see what runs."

// words puts an error into words that an agent can act on. Nothing else does, so the text
// of an unknown error never leaves the server.
func words(tool string, err error) string {
	var argument *argumentError
	var input *procmgr.InputError
	var start *procmgr.StartError
	var remote *procmgr.RemoteError
	var limit *procmgr.LimitError
	var busy *busyError
	var full *fullError
	var hiding *hiding
	nothing := ""
	if tool == "process_start" {
		nothing = " Nothing was started."
	}
	again := fmt.Sprintf("%s Correct it and call %s again.", nothing, tool)
	switch {
	case errors.As(err, &argument):
		return argument.Error() + "." + again
	case errors.As(err, &busy):
		return fmt.Sprintf("Too much at once: %v.%s Try again when one of them has answered.", busy, nothing)
	case errors.As(err, &limit):
		return limitWords(limit)
	case errors.As(err, &input):
		return fmt.Sprintf("%s: got %s; must be %s.%s", input.Field, excerpt(input.Got), input.Want, again)
	case errors.As(err, &remote) && remote.Field == "workdir":
		return fmt.Sprintf("workdir: %s does not pass the launcher %s, which runs the command elsewhere.%s Leave it out, put cd and && before the command, and call %s again.", excerpt(remote.Got), remote.Launcher, nothing, tool)
	case errors.As(err, &remote):
		return fmt.Sprintf("%s: %s does not pass the launcher %s, which runs the command elsewhere. Use terminate or kill, which end the launcher here.", remote.Field, excerpt(remote.Got), remote.Launcher)
	case errors.As(err, &start):
		why, next := reason(start)
		return fmt.Sprintf("The process could not be started in %s: %s.%s%s", excerpt(start.Dir), why, nothing, next)
	case errors.Is(err, procmgr.ErrNotFound):
		return "process_id: this chat has no such process; it may have been forgotten some minutes after its end. Call process_list to see what there is."
	case errors.As(err, &full):
		return fmt.Sprintf("text: the process took %d of %d bytes within wait_ms and does not read the rest now. It goes on. Read what it does with process_output, then call process_input with the rest.", full.taken, full.of)
	case errors.Is(err, procmgr.ErrNoInput):
		return "process_id: this process takes no input. Start it again with keep_stdin, or with tty if it wants a terminal."
	case errors.Is(err, procmgr.ErrNoTerminal):
		return "rows, cols: this process has no terminal. Leave them out, or start it again with tty."
	case errors.Is(err, errNoScreen):
		return "screen: this process has no terminal. Read its output without screen, or start it again with tty."
	case errors.Is(err, procmgr.ErrInputLine):
		return "text: a line has more than 4095 bytes, and this terminal reads whole lines: the rest would be lost. Nothing was written. Use shorter lines, or start the process with keep_stdin instead of tty."
	case errors.Is(err, procmgr.ErrInputClosed):
		return "text: nobody reads the input of this process any more: it was ended by eof, or the process has closed it. Call process_output to see what it does."
	case errors.Is(err, procmgr.ErrNotRunning) && tool == "process_input":
		return "process_id: the process has ended and takes no input. Call process_output to read how it ended."
	case errors.As(err, &hiding):
		return "The process has ended and nothing is left to signal that is known to be its own. " + hiding.note
	case errors.Is(err, procmgr.ErrNotRunning):
		return "The process has ended and nothing of it is left to signal. Call process_output to read how it ended."
	case errors.Is(err, procmgr.ErrUnsupportedSignal):
		return "signal: not supported on this system. Use kill."
	case errors.Is(err, procmgr.ErrNotPermitted):
		return "The system does not let the server signal it: what is left of it runs as another user. It goes on."
	case errors.Is(err, procmgr.ErrRequestConflict):
		return "request_id: was used with other input before. Nothing was started. Use a new one, or repeat the first call exactly."
	case errors.Is(err, procmgr.ErrTooManyRequests):
		return fmt.Sprintf("request_id: this chat has used %d of them, and each is remembered for a day. Nothing was started. Start without one.", procmgr.MaxRequestIDs)
	case errors.Is(err, procmgr.ErrClosed):
		return "The server is shutting down. Nothing was started."
	case isUnclear(err):
		return fmt.Sprintf("The chat of this call is not clear: %v.%s The client must mend it; no argument can.", err, nothing)
	case errors.Is(err, errTarget):
		return "process_id: give either one process_id, or all as true for everything that this chat runs; not both, not neither." + again
	case errors.Is(err, errGraceWithKill):
		return "grace_ms: goes with terminate only; kill gives no time. Leave it out, or use terminate."
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "The call ended before there was an answer. Call process_list to see what runs."
	default:
		return internalWords
	}
}

// isUnclear reports whether an error means that a request does not name a chat that it
// may use.
func isUnclear(err error) bool {
	return errors.Is(err, caller.ErrNoChat) || errors.Is(err, caller.ErrConflict) || errors.Is(err, caller.ErrInvalid)
}

// limitWords says which limit a start reached, and what the chat can end. It names no
// process of another chat.
func limitWords(e *procmgr.LimitError) string {
	longest := ""
	if e.ID != "" {
		longest = fmt.Sprintf("; the longest running is %s (%s)", e.ID, excerpt(e.Command))
	}
	switch {
	case e.Limit == procmgr.LimitPidsPerScope:
		return fmt.Sprintf("What this chat runs has %d processes and threads, the most that --pids-limit-per-chat allows. Nothing was started. End something with process_signal%s.", e.Used, longest)
	case e.Limit == procmgr.LimitRunningPerScope:
		return fmt.Sprintf("This chat runs %d processes, the most that --max-running-per-chat allows. Nothing was started. End one with process_signal, or wait for one with process_output%s.", e.Used, longest)
	case e.ID != "":
		return fmt.Sprintf("All chats together run %d processes, the most that --max-running allows. Nothing was started. End one of this chat's with process_signal%s. Or try again later.", e.Used, longest)
	default:
		return fmt.Sprintf("All chats together run %d processes, the most that --max-running allows. Nothing was started. This chat has none to end: try again later.", e.Used)
	}
}

// reason returns why the system refused a start, and what to do about it.
func reason(start *procmgr.StartError) (why, next string) {
	const end = " End processes that are no longer needed with process_signal, then call process_start again"
	switch start.Shortage() {
	case procmgr.ShortageDescriptors:
		return "EMFILE, the server has as many files open as it may (RLIMIT_NOFILE)", end + "; who runs the server can raise the limit."
	case procmgr.ShortageFiles:
		return "ENFILE, the whole machine has as many files open as it may (fs.file-max)", end + "; who runs the machine can raise the limit."
	case procmgr.ShortageProcesses:
		return "EAGAIN, there are as many processes and threads as the user (RLIMIT_NPROC), the cgroup (pids.max) or the machine may have", end + "; who runs the server can raise the limit."
	case procmgr.ShortageMemory:
		return "ENOMEM, the system has not enough memory", end + "."
	case procmgr.ShortageArguments:
		// The bounds are those of execve(2): MAX_ARG_STRLEN, and a quarter of the
		// stack's limit, which is 8 MiB almost everywhere.
		return fmt.Sprintf("E2BIG, command and environment are too large; Linux takes at most %d bytes of one variable and usually 2 MiB of all, those of the server included", procmgr.MaxEnvBytes),
			" Put large values in stdin or in a file and call process_start again."
	case procmgr.ShortageSpace:
		return "ENOSPC, no space is left in a file system or a table of the kernel", " Remove what is not needed, then call process_start again."
	}
	var program *fs.PathError
	switch err := start.Err; {
	case errors.As(err, &program):
		return fmt.Sprintf("there is no program %s in the PATH", excerpt(program.Path)), ""
	case errors.Is(err, fs.ErrNotExist):
		return "the program or the directory does not exist", ""
	case errors.Is(err, fs.ErrPermission):
		return "permission denied", ""
	default:
		// Anything else is an error of the system, whose text is the same everywhere
		// and tells nothing about this server.
		return Cause(err).Error(), ""
	}
}
