package main

import (
	"go/ast"
	"go/parser"
	"go/types"
	"regexp"
	"testing"
)

const root = "../../.."

// rulesHeld is how many rules there are: one that falls out of its list is missed.
const rulesHeld = 129

// Each mutant fits one place in the code, and what comes out of it compiles: one that does not
// would count as killed although no test failed.
func TestEveryMutantApplies(t *testing.T) {
	rules, err := all(root, regexp.MustCompile(""))
	if err != nil {
		t.Fatal(err)
	}
	if len(rules) < rulesHeld {
		t.Errorf("%d rules, want %d", len(rules), rulesHeld)
	}
	seen := map[string]bool{}
	for _, r := range rules {
		if seen[r.about] {
			t.Errorf("%q is there twice", r.about)
		}
		seen[r.about] = true
		t.Run(r.about, func(t *testing.T) {
			c, err := r.resolve()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.check(); err != nil {
				t.Error(err)
			}
		})
	}
}

// check compiles the package with the change.
func (c change) check() error {
	var files []*ast.File
	for _, f := range c.production() {
		if c.Fset.File(f.Pos()).Name() != c.path {
			files = append(files, f)
			continue
		}
		changed, err := parser.ParseFile(c.Fset, c.path, c.text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, changed)
	}
	config := types.Config{Importer: imported(c.source)}
	_, err := config.Check(c.PkgPath, c.Fset, files, nil)
	return err
}

// imported are the packages that the source imports, as they were loaded.
func imported(s *source) loaded {
	out := loaded{}
	for path, p := range s.Imports {
		out[path] = p.Types
	}
	return out
}

type loaded map[string]*types.Package

func (l loaded) Import(path string) (*types.Package, error) {
	if p := l[path]; p != nil {
		return p, nil
	}
	return types.Unsafe, nil
}
