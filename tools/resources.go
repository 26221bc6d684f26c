package tools

import (
	"errors"
	"strings"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/schemas"
)

const (
	processesURI = "proctor://processes"
	outputURI    = processesURI + "/{process_id}/output"
	// mostListed is how many processes the resource lists, the most that process_list
	// lists.
	mostListed = 1000
)

// Resources returns what clients are told about resources: what process_list and
// process_output answer, for clients whose users choose what a model reads.
func Resources() []Resource {
	return []Resource{{processesURI, "processes", "The processes of this chat: running ones first, then the newest.", "application/json"}}
}

// ResourceTemplates returns what clients are told about resources of which there is
// one for each process.
func ResourceTemplates() []Resource {
	return []Resource{{outputURI, "output", "What a process of this chat wrote: the first and the last 16 KiB.", "text/plain"}}
}

// Read returns the text of a resource and its media type. It must be the call's turn.
func (c *Call) Read(uri string) (text, mimeType string, failed *ReadError) {
	_, err := c.guard(func() (_ answer, err error) {
		if c.refused == nil {
			c.leave, c.refused = c.t.limits.begin(c.Scope, c.Identity.Token, 0)
		}
		switch id, isOutput := strings.CutPrefix(uri, processesURI+"/"); {
		case c.refused != nil:
			err = c.refused
		case isOutput:
			text, mimeType, err = c.readOutput(strings.TrimSuffix(id, "/output"))
		default:
			text, mimeType = string(encode(c.listAll())), "application/json"
		}
		return answer{}, err
	})
	if err == nil {
		return text, mimeType, nil
	}
	c.logger().Debug("resource refused", "error", err)
	return "", "", &ReadError{
		NotFound: errors.Is(err, procmgr.ErrNotFound),
		Invalid:  isUnclear(err),
		Text:     words("resources/read", err),
		err:      err,
	}
}

func (c *Call) listAll() *schemas.ListResult {
	list, omitted := c.processes().List(procmgr.FilterAll, mostListed)
	r := &schemas.ListResult{Processes: make([]schemas.Process, 0, len(list)), KillDomain: string(c.t.manager.KillDomain()), Omitted: omitted}
	for _, p := range list {
		r.Processes = append(r.Processes, listed(p))
	}
	return r
}

func (c *Call) readOutput(id string) (text, mimeType string, err error) {
	h, err := c.find(id)
	if err != nil {
		return "", "", err
	}
	text, err = readPart(&schemas.OutputResult{}, &schemas.OutputInput{}, h.Output(), h.Snapshot(), nil)
	return text, "text/plain", err
}
