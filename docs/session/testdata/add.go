// Package example is what the sessions in the documentation work on.
package example

func Add(a, b int) int { return a - b }
