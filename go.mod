module github.com/proctor-mcp/proctor

go 1.26.0

require (
	github.com/coder/quartz v0.3.1
	github.com/google/uuid v1.6.0
	go.uber.org/goleak v1.3.0
	golang.org/x/sys v0.50.0
)
