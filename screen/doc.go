// Package screen returns what a terminal would show after a program has written to it. On
// each request it replays the output in a new terminal emulator, so a terminal that nobody
// looks at costs nothing.
package screen
