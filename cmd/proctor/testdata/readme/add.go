// Package example is what the sessions of the README work on.
package example

func Add(a, b int) int { return a - b }
