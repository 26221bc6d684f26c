//go:build linux

package spawn

import (
	"cmp"
	_ "embed"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"testing"

	"github.com/proctor-mcp/proctor/procmgr/lockorder"
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

// The table of locks in the package documentation is the order that is checked.
func TestDocumentedLocks(t *testing.T) {
	type lock struct {
		name     string
		position int
		slow     bool
	}
	var locks []lock
	for name, place := range map[string]lockorder.Place{
		"system.mu": systemPlace{}, "life.pin": pinPlace{}, "adoption.mu": adoptionPlace{}, "forker.mu": forkerPlace{}, "guard.mu": guardPlace{},
		"kill.mu": killPlace{}, "life.mu": lifePlace{}, "account.mu": accountPlace{}, "registry.mu": registryPlace{}, "descendants.watching": watchingPlace{},
	} {
		position, slow := place.Place()
		locks = append(locks, lock{name, position, slow})
	}
	slices.SortFunc(locks, func(a, b lock) int { return cmp.Compare(a.position, b.position) })
	documented := regexp.MustCompile(`(?m)^//\t([a-z]+\.[a-z]+) +(slow|brief) `).FindAllStringSubmatch(documentation, -1)
	if len(documented) != len(locks) {
		t.Fatalf("%d documented, want %d", len(documented), len(locks))
	}
	for i, l := range locks {
		if name, slow := documented[i][1], documented[i][2] == "slow"; name != l.name || slow != l.slow {
			t.Errorf("documented %s, slow %t; want %+v", name, slow, l)
		}
		if i > 0 && locks[i-1].position == l.position {
			t.Errorf("%s and %s have the same place", locks[i-1].name, l.name)
		}
	}
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
