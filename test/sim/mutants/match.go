package main

import (
	"go/ast"
	"go/token"
	"go/types"
	"reflect"
)

// matcher compares a template with code, by what names mean and not by how they are written.
type matcher struct {
	info *types.Info
	// template is the function literal whose own variables stand for any of their type.
	template *ast.FuncLit
	bound    map[types.Object]*ast.Ident
}

// find are the places beneath the node that the pattern fits, with what its names stand for there.
func find(info *types.Info, template *ast.FuncLit, pattern, beneath ast.Node) (places []ast.Node,
	bound []map[types.Object]*ast.Ident) {
	ast.Inspect(beneath, func(n ast.Node) bool {
		if n == nil {
			return false
		}
		if _, parens := n.(*ast.ParenExpr); parens {
			return true // what is in them is found by itself
		}
		m := &matcher{info: info, template: template, bound: map[types.Object]*ast.Ident{}}
		if m.same(pattern, n) {
			places, bound = append(places, n), append(bound, m.bound)
		}
		return true
	})
	return places, bound
}

func (m *matcher) same(pattern, code ast.Node) bool {
	pattern, code = bare(pattern), bare(code)
	if p, ok := pattern.(*ast.Ident); ok {
		return m.sameName(p, code)
	}
	if reflect.TypeOf(pattern) != reflect.TypeOf(code) {
		return false
	}
	if p, ok := pattern.(*ast.BasicLit); ok {
		return p.Value == code.(*ast.BasicLit).Value
	}
	return m.sameFields(reflect.ValueOf(pattern).Elem(), reflect.ValueOf(code).Elem())
}

func bare(n ast.Node) ast.Node {
	for {
		p, ok := n.(*ast.ParenExpr)
		if !ok {
			return n
		}
		n = p.X
	}
}

// sameName compares a name of the template. A variable of its own stands for any variable of its
// type, and for the same one each time.
func (m *matcher) sameName(p *ast.Ident, code ast.Node) bool {
	c, ok := code.(*ast.Ident)
	if !ok {
		return false
	}
	object, actual := m.info.ObjectOf(p), m.info.ObjectOf(c)
	if !m.own(object) {
		return sameObject(object, actual) && (object != nil || p.Name == c.Name)
	}
	if before, again := m.bound[object]; again {
		return m.info.ObjectOf(before) == actual
	}
	v, ok := actual.(*types.Var)
	if !ok || v.IsField() || !types.Identical(v.Type(), object.Type()) {
		return false
	}
	m.bound[object] = c
	return true
}

// own tells whether the object is a variable of the template.
func (m *matcher) own(o types.Object) bool {
	v, ok := o.(*types.Var)
	return ok && !v.IsField() && within(m.template, v.Pos())
}

func within(n ast.Node, p token.Pos) bool { return n.Pos() <= p && p < n.End() }

func sameObject(a, b types.Object) bool {
	if x, ok := a.(*types.PkgName); ok {
		y, ok := b.(*types.PkgName)
		return ok && x.Imported() == y.Imported()
	}
	return origin(a) == origin(b)
}

// origin is the generic one of what is instantiated: Known[T].Get for Known[[]Pool].Get.
func origin(o types.Object) types.Object {
	switch o := o.(type) {
	case *types.Func:
		return o.Origin()
	case *types.Var:
		return o.Origin()
	default:
		return o
	}
}

// sameFields compares what two nodes of one type consist of. Where they stand in the source does
// not matter, nor do comments.
func (m *matcher) sameFields(p, c reflect.Value) bool {
	for i := range p.NumField() {
		switch p.Field(i).Interface().(type) {
		case token.Pos, *ast.CommentGroup:
			continue
		}
		if !m.sameValue(p.Field(i), c.Field(i)) {
			return false
		}
	}
	return true
}

func (m *matcher) sameValue(p, c reflect.Value) bool {
	switch p.Kind() {
	case reflect.Slice:
		if p.Len() != c.Len() {
			return false
		}
		for i := range p.Len() {
			if !m.sameValue(p.Index(i), c.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Interface, reflect.Pointer:
		if p.IsNil() || c.IsNil() {
			return p.IsNil() == c.IsNil()
		}
		a, isNode := p.Interface().(ast.Node)
		b, isToo := c.Interface().(ast.Node)
		return isNode && isToo && m.same(a, b)
	default:
		return p.Interface() == c.Interface()
	}
}
