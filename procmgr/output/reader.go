package output

// Reader is the part of a [Store] that reads.
type Reader interface {
	Total() int64
	Read(p []byte, cursor int64) Chunk
	View(open, raw bool) View
	From(cursor int64, most int, part Part) Shown
	Tail(count int, part Part) Shown
	Search(Search) Found
	Failure() error
}
