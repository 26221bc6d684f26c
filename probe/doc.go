// Package probe waits until a server on this machine is there: a port accepts
// connections ([Port]), or a URL answers ([HTTP]). It reaches loopback addresses
// only, asks no DNS server and no proxy, and follows no redirect, so that nobody can
// make it call elsewhere.
//
// Both try at once, then after pauses of 25 ms that double up to a second, until
// their context ends.
package probe
