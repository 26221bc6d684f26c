package proctest

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// orphanLife bounds the life of a child that cannot see its test binary, for
// instance in a namespace.
const orphanLife = time.Hour

// runChild is the program of [Child]. Its first argument is the pid of the test
// binary, which it does not outlive.
func runChild(args []string) {
	if pid, err := strconv.Atoi(args[0]); err == nil && sameProgram(pid) {
		go func() {
			_ = awaitEnd(pid, time.Time{})
			os.Exit(99)
		}()
	} else {
		time.AfterFunc(orphanLife, func() { os.Exit(99) }) // clock: nobody ends it
	}
	switch args = args[1:]; args[0] {
	case "ignore-term":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		select {}
	case "hold":
		fmt.Println(background(true, "sleep"))
		os.Exit(3)
	case "hold-say":
		fmt.Println(background(true, "say-late", args[1]))
		os.Exit(3)
	case "leave":
		fmt.Println(background(false, "sleep"))
	case "say-late":
		cue, err := os.Open(args[1])
		if err != nil {
			panic(err)
		}
		if _, err := cue.Read(make([]byte, 1)); err != nil {
			panic(err)
		}
		fmt.Println("late")
	case "flood":
		flood(args[1])
	case "half-rune":
		os.Stdout.WriteString("€"[:2])
		bufio.NewReader(os.Stdin).ReadString('\n')
		os.Stdout.WriteString("€"[2:])
	case "fork":
		n, _ := strconv.Atoi(args[1])
		for range n {
			background(true, "sleep")
		}
		fmt.Println("ready")
		select {}
	case "http":
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		fmt.Println("http://" + l.Addr().String())
		panic(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello from ", os.Getpid()) })))
	case "env":
		for _, key := range args[1:] {
			if value, ok := os.LookupEnv(key); ok {
				fmt.Printf("%s=%s\n", key, value)
			} else {
				fmt.Println(key, "unset")
			}
		}
	case "headless":
		fmt.Println(os.Getpid())
		exitThread()
	case "sleep":
		select {}
	default:
		panic("no such child: " + args[0])
	}
}

// background starts this program again in the same group and returns its pid.
func background(withOutput bool, args ...string) int {
	cmd := exec.Command(os.Args[0], append([]string{"child", os.Args[2]}, args...)...)
	if withOutput {
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	return cmd.Process.Pid
}

func flood(size string) {
	left, err := strconv.ParseInt(size, 10, 64)
	if err != nil {
		panic(err)
	}
	line := append(bytes.Repeat([]byte("x"), 63), '\n')
	chunk := bytes.Repeat(line, 1024)
	for left > 0 {
		n, err := os.Stdout.Write(chunk[:min(int64(len(chunk)), left)])
		if err != nil {
			panic(err)
		}
		left -= int64(n)
	}
}

// Child returns a shell command that runs this test binary as a program:
//
//	ignore-term      ignores SIGTERM, prints "ready", lives until killed
//	hold             leaves a descendant that holds the output and prints its pid; exits 3
//	hold-say CUE     like hold; the descendant prints "late" at the cue ([Cue]), and ends
//	leave            leaves a descendant in its group that holds no output; exits 0
//	flood BYTES      writes so many bytes of "x" lines, exits 0
//	half-rune        writes the first two of three bytes of "€", waits for a line of input, writes the third
//	fork N           starts N sleeping children, prints "ready", sleeps
//	headless         prints its pid and ends its main thread; the others go on
//	http             serves HTTP on a free port, prints its address, answers "hello from PID"
//	env KEY…         prints each variable as KEY=value, or "KEY unset"
//
// It ends, at the latest, with the test binary.
func Child(args ...string) string {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	words := []string{"exec", quote(exe), "child", strconv.Itoa(os.Getpid())}
	for _, a := range args {
		words = append(words, quote(a))
	}
	return strings.Join(words, " ")
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
