package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"regexp"
	"strings"
)

// Measures of the picture. A column is as wide as a character of the widest common
// monospaced font.
const (
	columns    = 96
	fontSize   = 13
	columnSize = 0.605 * fontSize
	lineSize   = 19
	gapSize    = 12 // between two calls
	edgeSize   = 22
	headerSize = 34
)

// style has the colours, each light enough or dark enough to be read on its ground.
const style = `
  text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre; fill: #1f2328 }
  .ground { fill: #ffffff; stroke: #d1d9e0 }
  .call { fill: #f2f5f8 }
  .header, .arguments { fill: #59636e }
  .tool { fill: #0550ae; font-weight: bold }
  .good { fill: #116329 }
  .bad { fill: #a40e26 }
  .goes-on { fill: #7d4e00 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .ground { fill: #0d1117; stroke: #3d444d }
    .call { fill: #161b22 }
    .header, .arguments { fill: #9198a1 }
    .tool { fill: #79c0ff }
    .good { fill: #56d364 }
    .bad { fill: #ff7b72 }
    .goes-on { fill: #e3b341 }
  }
`

// draw returns a picture of a session as SVG. It follows the reader's choice of a
// light or dark page.
func draw(steps []step) []byte {
	var body bytes.Buffer
	y := headerSize + gapSize
	print := func(class, line string) {
		y += lineSize
		fmt.Fprintf(&body, "<text x=\"%d\" y=\"%d\" class=\"%s\" xml:space=\"preserve\">%s</text>\n", edgeSize, y-5, class, escape(line))
	}
	width := int(math.Ceil(columns*columnSize)) + 2*edgeSize
	for i, s := range steps {
		if i > 0 {
			y += gapSize
		}
		call := wrap("→ " + s.tool + " " + s.arguments)
		fmt.Fprintf(&body, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"4\" class=\"call\"/>\n", edgeSize-10, y-2, width-2*edgeSize+20, len(call)*lineSize+4)
		for j, line := range call {
			if j > 0 {
				print("arguments", line)
				continue
			}
			y += lineSize
			tool := "→ " + s.tool
			fmt.Fprintf(&body, "<text x=\"%d\" y=\"%d\" xml:space=\"preserve\"><tspan class=\"tool\">%s</tspan><tspan class=\"arguments\">%s</tspan></text>\n",
				edgeSize, y-5, tool, escape(strings.TrimPrefix(line, tool)))
		}
		y += 4
		for line := range strings.Lines(s.answer) {
			line = strings.ReplaceAll(strings.TrimRight(line, " \n"), "\t", "    ")
			if line == "" {
				y += lineSize / 2
				continue
			}
			for _, part := range wrap(line) {
				print(class(line), part)
			}
		}
	}
	height := y + edgeSize - 6
	var b bytes.Buffer
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"A session of an agent with Proctor\">\n", width, height, width, height)
	fmt.Fprintf(&b, "<style>%s</style>\n", style)
	fmt.Fprintf(&b, "<rect x=\"0.5\" y=\"0.5\" width=\"%d\" height=\"%d\" rx=\"8\" class=\"ground\"/>\n", width-1, height-1)
	fmt.Fprintf(&b, "<text x=\"%d\" y=\"26\" class=\"header\">What an agent calls (→), and what it reads</text>\n", edgeSize)
	b.Write(body.Bytes())
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// class chooses the colour of a line by what it reports.
func class(line string) string {
	switch {
	case strings.Contains(line, "still live"):
		return "goes-on"
	case regexp.MustCompile(`^(Process )?p\d+:? .*exited with code 0|^Nothing is left alive`).MatchString(line):
		return "good"
	case regexp.MustCompile(`^(Process )?p\d+:? .*exited with code`).MatchString(line):
		return "bad"
	case regexp.MustCompile(`^(Process )?p\d+:? `).MatchString(line):
		return "goes-on"
	}
	return "output"
}

// wrap cuts a line at spaces into lines of the picture. All but the first are
// indented.
func wrap(line string) (lines []string) {
	const indent = "    "
	for {
		runes := []rune(line)
		if len(runes) <= columns {
			return append(lines, line)
		}
		at := strings.LastIndexByte(string(runes[:columns+1]), ' ')
		if at <= len(indent) {
			at = len(string(runes[:columns])) // one long word
		}
		lines = append(lines, strings.TrimRight(line[:at], " "))
		line = indent + strings.TrimLeft(line[at:], " ")
	}
}

func escape(text string) string {
	var b bytes.Buffer
	// Writing to a buffer cannot fail.
	_ = xml.EscapeText(&b, []byte(text))
	return b.String()
}
