package tools

import (
	"context"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/schemas"
)

const (
	processesURI = "proctor://processes"
	outputURI    = processesURI + "/{process_id}/output"
	// mostListed is how many processes the resource has, as process_list at most.
	mostListed = 1000
)

// addResources offers what process_list and process_output say as resources, for
// clients whose users choose what a model reads.
func (t *Tools) addResources(s *server.MCPServer) {
	s.AddResource(
		mcp.NewResource(processesURI, "processes", mcp.WithResourceDescription("The processes of this chat: running ones first, then the newest."), mcp.WithMIMEType("application/json")),
		t.resource(t.processesResource))
	s.AddResourceTemplate(
		mcp.NewResourceTemplate(outputURI, "output", mcp.WithTemplateDescription("What a process of this chat wrote: the first and the last 16 KiB."), mcp.WithTemplateMIMEType("text/plain")),
		server.ResourceTemplateHandlerFunc(t.resource(t.outputResource)))
}

// resource puts a reader behind what reads have in common with calls: who asks, and
// how much at once.
func (t *Tools) resource(read func(c *call, uri string) (mcp.TextResourceContents, error)) server.ResourceHandlerFunc {
	return func(ctx context.Context, r mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
		c := &call{base: t.log}
		var contents mcp.TextResourceContents
		_, err := guarded(c, func() (_ answer, err error) {
			done, err := t.admit(ctx, c, r.Header, r.Params.Meta, "")
			if err != nil {
				return answer{}, err
			}
			defer done()
			turn, err := t.gate.Turn(ctx, c.Scope)
			if err != nil {
				return answer{}, err
			}
			defer turn.Leave()
			contents, err = read(c, r.Params.URI)
			return answer{}, err
		})
		if err != nil {
			c.log().Debug("resource refused", "error", err)
			return nil, &readError{err}
		}
		contents.URI = r.Params.URI
		return []mcp.ResourceContents{contents}, nil
	}
}

func (t *Tools) processesResource(c *call, _ string) (mcp.TextResourceContents, error) {
	list, omitted := t.manager.List(c.Scope, procmgr.FilterAll, mostListed)
	r := schemas.ListResult{Processes: make([]schemas.Process, 0, len(list)), KillDomain: string(t.manager.KillDomain()), Omitted: omitted}
	for _, p := range list {
		r.Processes = append(r.Processes, inList(p))
	}
	return mcp.TextResourceContents{MIMEType: "application/json", Text: string(encode(&r))}, nil
}

func (t *Tools) outputResource(c *call, uri string) (mcp.TextResourceContents, error) {
	id := strings.TrimSuffix(strings.TrimPrefix(uri, processesURI+"/"), "/output")
	p, out, err := t.manager.Read(c.Scope, id)
	if err != nil {
		return mcp.TextResourceContents{}, err
	}
	var r schemas.OutputResult
	text, err := t.read(&r, &schemas.OutputInput{}, out, p, nil)
	return mcp.TextResourceContents{MIMEType: "text/plain", Text: text}, err
}
