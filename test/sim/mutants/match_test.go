package main

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"testing"
)

// code is what the templates of TestFind are looked for in.
const code = `package p

type pool struct{ held, open bool; nodes int }
type other struct{ held bool }

func decide(worker, infra pool, o other, ready bool) int {
	if (worker.held) && ready { // a comment
		return 1
	}
	if o.held {
		return 2
	}
	if worker.nodes+infra.nodes > 3 || infra.nodes+infra.nodes > 3 {
		worker.open = true
	}
	return 0
}
`

func TestFind(t *testing.T) {
	cases := map[string]struct {
		template string
		want     int
	}{
		"by what it means, whatever its name":      {"func(p pool) bool { return p.held }", 1},
		"another type's field of the same name":    {"func(x other) bool { return x.held }", 1},
		"through parentheses":                      {"func(p pool, ok bool) bool { return p.held && ok }", 1},
		"another operator":                         {"func(p pool, ok bool) bool { return p.held || ok }", 0},
		"several places":                           {"func(p pool) int { return p.nodes }", 4},
		"two names may stand for one variable":     {"func(a, b pool) bool { return a.nodes+b.nodes > 3 }", 2},
		"one name stands for one variable":         {"func(a pool) bool { return a.nodes+a.nodes > 3 }", 1},
		"another number":                           {"func(a, b pool) bool { return a.nodes+b.nodes > 4 }", 0},
		"a statement":                              {"func(p pool) { p.open = true }", 1},
		"another statement":                        {"func(p pool) { p.open = false }", 0},
		"a statement that returns, and its filler": {"func(x other) int { if x.held { return 2 }; return 0 }", 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, "p.go", code+"\nvar template = "+c.template+"\n",
				parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			info := &types.Info{
				Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{},
				Uses: map[*ast.Ident]types.Object{},
			}
			if _, err := (&types.Config{Importer: importer.Default()}).Check("p", fset, []*ast.File{f},
				info); err != nil {
				t.Fatal(err)
			}
			body := f.Decls[2].(*ast.FuncDecl).Body
			template := f.Decls[3].(*ast.GenDecl).Specs[0].(*ast.ValueSpec).Values[0].(*ast.FuncLit)
			pattern, err := statement(template)
			if err != nil {
				t.Fatal(err)
			}
			if places, _ := find(info, template, pattern, body); len(places) != c.want {
				t.Errorf("it fits %d places, want %d", len(places), c.want)
			}
		})
	}
}
