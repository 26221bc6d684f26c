// Package inspect looks at what living processes do, on Linux by /proc: on which TCP
// ports they listen, and whether they wait for input. It is given the processes, and
// holds no lock. On other systems it has the terms alone.
package inspect
