// Package output keeps what a process wrote, in bounded space, and shows parts of
// it.
//
// A [Store] holds the first and the last bytes of a stream of raw bytes: in memory
// while they are few ([MemoryBytes]), then in a file without a name of its
// [Folder]: the first [HeadBytes], and a ring with the last. A [Space] bounds what
// many stores hold together. When it is exceeded, some give way to others; where
// nothing can be written, a store keeps little, in memory.
//
// Reading never changes what is stored. Bytes are found again by their offset:
// byte 0 is the first one that the process wrote, whatever was dropped since.
// [Store.View] shows the two ends, [Store.From] what begins at an offset,
// [Store.Tail] the last lines, [Store.Search] the lines that match a [Pattern];
// each says what it does not show.
//
// A process with a pipe for each of its streams has the bytes of both in one
// store, in the order in which they were read, with a record of whose they are.
package output
