//go:build linux

package spawn

import (
	_ "embed"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"testing"
)

//go:embed doc.go
var documentation string

// The diagrams in the package documentation are the tables.
func TestDocumentedSteps(t *testing.T) {
	var documented []string
	for _, m := range regexp.MustCompile(`(?m)^//\t(\w+)\s+-> (\w+) `).FindAllStringSubmatch(documentation, -1) {
		documented = append(documented, m[1]+" "+m[2])
	}
	legal := append(steps(stageEdges()), steps(killEdges())...)
	slices.Sort(documented)
	slices.Sort(legal)
	if !slices.Equal(documented, legal) {
		t.Errorf("documented %q, legal %q", documented, legal)
	}
}

func steps[S ~string](edges map[S][]S) (list []string) {
	for from := range maps.Keys(edges) {
		for _, to := range edges[from] {
			list = append(list, fmt.Sprintf("%s %s", from, to))
		}
	}
	return list
}

func TestIllegalStep(t *testing.T) {
	var l life
	l.advance(stageEnded)
	defer func() {
		if recover() == nil {
			t.Error("an ended command became ended again")
		}
		if l.stage() != stageEnded {
			t.Errorf("it is %s", l.stage())
		}
	}()
	l.advance(stageEnded)
}
