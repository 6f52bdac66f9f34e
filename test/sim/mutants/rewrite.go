package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"os"
	"slices"
	"strings"
)

// change is a rule that has found its place: the file, and the changed text that the compiler gets.
type change struct {
	rule
	path string
	text []byte
}

// resolve finds the one place of the rule and makes the change there.
func (r rule) resolve() (change, error) {
	declaration, err := r.declaration()
	if err != nil {
		return change{}, err
	}
	pattern, err := statement(r.old)
	switch {
	case err != nil:
		return change{}, fmt.Errorf("%s: %w", r.Fset.Position(r.old.Pos()), err)
	case pattern == nil:
		return change{}, fmt.Errorf("%s: the old function is empty", r.Fset.Position(r.old.Pos()))
	}
	places, bound := find(r.TypesInfo, r.old, pattern, declaration)
	if len(places) != 1 {
		return change{}, fmt.Errorf("%s: it fits %d places in %s, and has to fit one", r.Fset.Position(r.old.Pos()),
			len(places), types.ExprString(r.in))
	}
	place := places[0]
	path := r.Fset.File(place.Pos()).Name()
	before, err := os.ReadFile(path)
	if err != nil {
		return change{}, err
	}
	after, err := r.replacement(bound[0])
	if err != nil {
		return change{}, err
	}
	start, end := r.offset(place.Pos()), r.offset(place.End())
	return change{rule: r, path: path, text: slices.Concat(before[:start], []byte(after), before[end:])}, nil
}

// statement is what a template is about: the expression that it returns, or its statement; nil for
// an empty one.
func statement(f *ast.FuncLit) (ast.Node, error) {
	list := f.Body.List
	if len(list) == 2 {
		if _, filler := list[1].(*ast.ReturnStmt); filler {
			list = list[:1]
		}
	}
	switch len(list) {
	case 0:
		return nil, nil
	case 1:
	default:
		return nil, fmt.Errorf("%d statements where one is expected", len(list))
	}
	if r, ok := list[0].(*ast.ReturnStmt); ok && len(r.Results) == 1 && len(f.Body.List) == 1 {
		return r.Results[0], nil
	}
	return list[0], nil
}

// replacement is the new template's text with its parameters replaced by what they stand for.
func (r rule) replacement(bound map[types.Object]*ast.Ident) (string, error) {
	node, err := statement(r.new)
	if err != nil || node == nil {
		return "", err
	}
	stands := map[string]string{}
	for o, id := range bound {
		stands[o.Name()] = id.Name
	}
	params := map[types.Object]bool{}
	for _, field := range r.new.Type.Params.List {
		for _, name := range field.Names {
			params[r.TypesInfo.Defs[name]] = true
		}
	}
	var out strings.Builder
	var failure error
	at := node.Pos()
	ast.Inspect(node, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		if !ok || !params[r.TypesInfo.ObjectOf(id)] {
			return true
		}
		name, known := stands[id.Name]
		if !known {
			failure = fmt.Errorf("%s: the old function does not say what %s is", r.Fset.Position(id.Pos()), id.Name)
		}
		out.Write(r.text[r.offset(at):r.offset(id.Pos())])
		out.WriteString(name)
		at = id.End()
		return true
	})
	out.Write(r.text[r.offset(at):r.offset(node.End())])
	if _, binary := node.(*ast.BinaryExpr); binary {
		return "(" + out.String() + ")", failure // it is kept together wherever it comes to stand
	}
	return out.String(), failure
}

func (s *source) offset(p token.Pos) int { return s.Fset.Position(p).Offset }
