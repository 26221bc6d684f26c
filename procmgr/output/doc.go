// Package output keeps what a process wrote, in bounded memory.
//
// A [Buffer] holds the first [HeadBytes] and the last [TailBytes] of a stream
// of raw bytes and counts all of them. [Buffer.View] turns what is held into
// text for a reader: valid UTF-8, no line longer than [LineBytes], and an exact
// account of what is not shown. Stored bytes are never changed by reading. A
// [Budget] bounds what many buffers hold together: some are dropped for others.
//
// Offsets are absolute: byte 0 is the first one the process wrote.
package output
