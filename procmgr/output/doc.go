// Package output keeps what a process wrote, in bounded space, and shows parts of
// it.
//
// A [Store] keeps the first and the last bytes of a stream: in memory while they are
// few ([MemoryBytes]), then in a file without a name in its [Folder]: the first
// [HeadBytes], and a ring with the last. A [Space] bounds what many stores hold
// together. When the bound is exceeded, some stores give up what they hold. A store
// that can write no file keeps little, in memory.
//
// Reading never changes what is stored. Each byte is known by its offset: byte 0 is the
// first one that the process wrote, whatever was dropped since. [Store.View] shows the
// two ends, [Store.From] what begins at an offset, [Store.Tail] the last lines,
// [Store.Search] the lines that match a [Pattern]; each reports what it leaves out.
//
// A process with a pipe for each of its streams has the bytes of both in one store, in
// the order in which they were read, and the store knows which stream each byte came
// from.
package output
