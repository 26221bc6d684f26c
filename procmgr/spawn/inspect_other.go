//go:build !linux

package spawn

import "errors"

// Ports are not seen on this system: the error is [errors.ErrUnsupported].
func (p *Process) Ports() ([]Port, error) { return nil, errors.ErrUnsupported }

// WaitsForInput is not seen on this system: the error is [errors.ErrUnsupported].
func (p *Process) WaitsForInput() (InputWait, error) { return "", errors.ErrUnsupported }
