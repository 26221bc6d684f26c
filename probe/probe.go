package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

const (
	firstPause   = 25 * time.Millisecond
	longestPause = time.Second
	tryTimeout   = 5 * time.Second // of one try
	dialTimeout  = time.Second     // of one address: the kernel answers itself at once
)

// InputError reports an input that cannot be used.
type InputError struct {
	Field string // url or port
	Got   string // the part that is wrong, without a secret that it may hold
	Want  string // what is allowed
}

func (e *InputError) Error() string {
	return fmt.Sprintf("invalid %s: got %s, want %s", e.Field, e.Got, e.Want)
}

// Port returns nil once a TCP port accepts a connection on 127.0.0.1 or ::1, which it closes
// at once. Otherwise it returns an [InputError] for a port that is not 1 to 65,535, or the
// error of ctx, which is a [PendingError] once there was a try.
func Port(ctx context.Context, port int) error {
	if port < 1 || port > 65535 {
		return &InputError{"port", fmt.Sprint(port), "1 to 65535"}
	}
	return retry(ctx, func(ctx context.Context) error {
		conn, err := dial(ctx, Loopback("localhost"), uint16(port))
		if err == nil {
			err = conn.Close()
		}
		return err
	})
}

// Loopback returns the addresses of a host that is this machine: localhost, in any
// case, an address of 127.0.0.0/8, or ::1. It returns nil for every other host. It
// asks neither DNS nor /etc/hosts, and accepts no other way to write an address.
func Loopback(host string) []netip.Addr {
	if strings.EqualFold(host, "localhost") {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	}
	a, err := netip.ParseAddr(host)
	if err != nil || a.Zone() != "" || a.Is4In6() || !a.IsLoopback() {
		return nil
	}
	return []netip.Addr{a}
}

// dial connects to the first of the addresses that accepts. The error is that of the
// first.
func dial(ctx context.Context, addresses []netip.Addr, port uint16) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	var first error
	for _, a := range addresses {
		conn, err := dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(a, port).String())
		if err == nil {
			return conn, nil
		}
		first = cmp.Or(first, err)
	}
	return nil, first
}

// errNoAnswer is the error of a try that was cut short.
var errNoAnswer = errors.New("no answer")

// PendingError reports that a context ended before a try succeeded.
type PendingError struct {
	Err  error // of the context
	Last error // of the last try
}

func (e *PendingError) Error() string { return fmt.Sprintf("%v; the last try: %v", e.Err, e.Last) }

func (e *PendingError) Unwrap() error { return e.Err }

// retry tries until it succeeds or ctx ends.
func retry(ctx context.Context, try func(context.Context) error) error {
	var last error
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, longestPause) {
		limited, cancel := context.WithTimeout(ctx, tryTimeout)
		err := try(limited)
		short := limited.Err() != nil
		cancel()
		switch {
		case err == nil:
			return nil
		case !short:
			last = err
		case ctx.Err() == nil || last == nil:
			last = errNoAnswer
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
	if last == nil {
		return ctx.Err()
	}
	return &PendingError{ctx.Err(), last}
}
