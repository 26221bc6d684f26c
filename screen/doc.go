// Package screen says what a terminal would show after a program has written to it.
// It plays what was written from the start on, in an emulator of its own, whenever it
// is asked: a terminal that nobody looks at costs nothing.
package screen
