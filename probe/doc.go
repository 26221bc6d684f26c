// Package probe waits for a server on this machine: until a port accepts connections
// ([Port]), or a URL answers ([HTTP]). It connects to loopback addresses only, asks no DNS
// server and no proxy, and follows no redirect, so nobody can make it call another machine.
//
// Both try at once, then after pauses of 25 ms that double up to a second, until
// their context ends.
package probe
