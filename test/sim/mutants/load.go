package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/tools/go/packages"
)

// listFile is the file of a package that lists its mutants.
const listFile = "mutants_test.go"

// source is a package that has a list: its files with types, and the list's text.
type source struct {
	*packages.Package
	// home is the package as the go command takes it: ./internal/rollout.
	home string
	list *ast.File
	text []byte
}

// rule is one entry of a list, as it is written there.
type rule struct {
	*source
	about    string
	in       ast.Expr
	old, new *ast.FuncLit
}

// lists finds the packages with a list beneath the root of the repository.
func lists(root string) ([]*source, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	var homes []string
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root:
			return filepath.SkipDir
		case d.Name() == listFile:
			home, err := filepath.Rel(root, filepath.Dir(path))
			homes = append(homes, "./"+filepath.ToSlash(home))
			return err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(homes)
	loaded, err := packages.Load(&packages.Config{
		Dir: root, Tests: true,
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedImports | packages.NeedExportFile |
			packages.NeedTypes | packages.NeedSyntax | packages.NeedTypesInfo,
		ParseFile: func(fset *token.FileSet, path string, text []byte) (*ast.File, error) {
			// names mean what their types say
			return parser.ParseFile(fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
		},
	}, homes...)
	if err != nil {
		return nil, err
	}
	var out []*source
	for _, p := range loaded {
		s, err := newSource(root, p)
		if err != nil {
			return nil, err
		}
		if s != nil {
			out = append(out, s)
		}
	}
	if len(out) != len(homes) {
		return nil, fmt.Errorf("%d of %d packages with a %s could be read", len(out), len(homes), listFile)
	}
	return out, nil
}

// newSource is nil for a package without a list: the same package without its tests, or the main
// package of the tests.
func newSource(root string, p *packages.Package) (*source, error) {
	for _, f := range p.Syntax {
		path := p.Fset.File(f.Pos()).Name()
		if filepath.Base(path) != listFile {
			continue
		}
		if len(p.Errors) > 0 {
			return nil, p.Errors[0]
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		home, err := filepath.Rel(root, filepath.Dir(path))
		return &source{Package: p, home: "./" + filepath.ToSlash(home), list: f, text: text}, err
	}
	return nil, nil
}

// rules reads the list: the calls of mutant.Of.
func (s *source) rules() ([]rule, error) {
	var out []rule
	var failure error
	ast.Inspect(s.list, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || !s.isMutant(call) {
			return failure == nil
		}
		r, err := s.rule(call.Args)
		if err != nil {
			failure = fmt.Errorf("%s: %w", s.Fset.Position(call.Pos()), err)
		}
		out = append(out, r)
		return false
	})
	return out, failure
}

func (s *source) isMutant(call *ast.CallExpr) bool {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	object := s.TypesInfo.Uses[f.Sel]
	return object != nil && object.Pkg() != nil && object.Pkg().Name() == "mutant" && object.Name() == "Of"
}

func (s *source) rule(args []ast.Expr) (rule, error) {
	about, isText := args[0].(*ast.BasicLit)
	before, isOld := args[2].(*ast.FuncLit)
	after, isNew := args[3].(*ast.FuncLit)
	if !isText || !isOld || !isNew {
		return rule{}, fmt.Errorf("a mutant is a text, a declaration, and two function literals")
	}
	text, err := strconv.Unquote(about.Value)
	return rule{source: s, about: text, in: args[1], old: before, new: after}, err
}

// declaration is what the rule is about, in the files that are not tests.
func (r rule) declaration() (ast.Node, error) {
	var object types.Object
	switch n := r.in.(type) {
	case *ast.Ident:
		object = r.TypesInfo.Uses[n]
	case *ast.SelectorExpr:
		object = r.TypesInfo.Uses[n.Sel]
	}
	if object == nil {
		return nil, fmt.Errorf("%s names no declaration", r.Fset.Position(r.in.Pos()))
	}
	for _, f := range r.production() {
		for _, d := range f.Decls {
			if found := declares(r.TypesInfo, d, object); found != nil {
				return found, nil
			}
		}
	}
	return nil, fmt.Errorf("%s is not declared in %s", object.Name(), r.home)
}

func declares(info *types.Info, d ast.Decl, object types.Object) ast.Node {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if info.Defs[d.Name] == object {
			return d.Body
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			v, ok := spec.(*ast.ValueSpec)
			if ok && slices.ContainsFunc(v.Names, func(n *ast.Ident) bool { return info.Defs[n] == object }) {
				return v
			}
		}
	}
	return nil
}

// production are the files that are not tests.
func (s *source) production() []*ast.File {
	return slices.DeleteFunc(slices.Clone(s.Syntax), func(f *ast.File) bool {
		return strings.HasSuffix(s.Fset.File(f.Pos()).Name(), "_test.go")
	})
}
