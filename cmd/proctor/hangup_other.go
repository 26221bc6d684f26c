//go:build !linux

package main

import (
	"context"
	"io"
)

// whileRead returns ctx: here a client that is gone is noticed at the next write.
func whileRead(ctx context.Context, _ io.Writer) (context.Context, context.CancelFunc) {
	return context.WithCancel(ctx)
}

// hangUp returns nil: here the end of the input is noticed when it is read.
func hangUp(any) <-chan struct{} { return nil }
