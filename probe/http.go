package probe

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
)

// HTTP returns nil once a GET of a URL is answered with a status of 2xx or 3xx. It follows
// no redirect and reads no body. A try takes at most 5 s. Otherwise HTTP returns the error
// of [CheckURL], or that of ctx, which is a [PendingError] once there was a try.
func HTTP(ctx context.Context, url string) error {
	to, err := parse(url)
	if err != nil {
		return err
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dial(ctx, to.addresses, to.port)
		},
		// Servers under development sign their own certificates, and nothing secret is
		// sent to them.
		TLSClientConfig:        &tls.Config{InsecureSkipVerify: true},
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: 64 << 10,
	}
	return retry(ctx, func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := transport.RoundTrip(request) // unlike a Client it follows no redirect
		if err != nil {
			return err
		}
		response.Body.Close()
		if response.StatusCode < 200 || response.StatusCode > 399 {
			return fmt.Errorf("answered with status %d", response.StatusCode)
		}
		return nil
	})
}

// CheckURL returns the port of a URL that [HTTP] accepts, and an [InputError] for others.
// The URL must be http or https, without user information, and its host localhost, ::1 or
// an address of 127.0.0.0/8. HTTP does not verify the certificate of an https server.
func CheckURL(url string) (port int, err error) {
	to, err := parse(url)
	return int(to.port), err
}

// target is the address of a URL.
type target struct {
	addresses []netip.Addr
	port      uint16
}

func parse(text string) (target, error) {
	refuse := func(got, want string) (target, error) { return target{}, &InputError{"url", got, want} }
	u, err := url.Parse(text)
	if err != nil {
		return refuse("no URL", "one such as http://localhost:8080/")
	}
	port := map[string]uint16{"http": 80, "https": 443}[u.Scheme]
	switch {
	case port == 0:
		return refuse(fmt.Sprintf("scheme %q", u.Scheme), "http or https")
	case u.User != nil:
		return refuse("user information", "none")
	}
	if given := u.Port(); given != "" {
		n, err := strconv.ParseUint(given, 10, 16)
		if err != nil || n == 0 {
			return refuse("port "+given, "1 to 65535")
		}
		port = uint16(n)
	}
	addresses := Loopback(u.Hostname())
	if addresses == nil {
		return refuse(fmt.Sprintf("host %q", u.Hostname()), "localhost, 127.0.0.1 or [::1]")
	}
	return target{addresses, port}, nil
}
