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
	"syscall"
	"time"
)

// forever is longer than any test and bounds what a failed one leaves behind.
const forever = 5 * time.Minute

func runChild(args []string) {
	time.AfterFunc(forever, func() { os.Exit(99) })
	switch args[0] {
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
		for {
			if _, err := os.Stat(args[1]); err == nil {
				fmt.Println("late")
				return
			}
		}
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
		panic(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })))
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
	cmd := exec.Command(os.Args[0], append([]string{"child"}, args...)...)
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
