//go:build !linux

package spawn

import "errors"

// Ports is not to be had here.
func (p *Process) Ports() ([]Port, error) { return nil, errors.ErrUnsupported }
