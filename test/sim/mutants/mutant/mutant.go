// Package mutant is the form in which a package names its safety rules, each broken once. The list
// stands in the package's mutants_test.go and is Go code like any other: the compiler checks it,
// and a tool that renames what it mentions renames it there too. It is read by command mutants, and
// not run.
package mutant

// Mutant is one change of one declaration.
//
//	mutant.Of("budget: two nodes of the control plane", Pool.AtOnce,
//		func(p Pool) bool { return p.ControlPlane },
//		func() bool { return false }),
//
// reads: in the method AtOnce of Pool, the one place that asks some Pool for its ControlPlane gets
// false instead.
type Mutant struct{ about string }

// Of describes a mutant. about is the rule, and how it is broken. in is the function, method
// expression, constant or variable whose declaration is changed.
//
// old is a function whose only statement is looked for: its expression if it returns one, or else
// the statement itself. Its parameters, and the variables that it declares, stand for any variable
// of the same type; one that is there twice stands for the same variable. (A return at the end that
// is only there for the compiler is not looked for.)
//
// replacement is a function with what comes instead, by the same names. One without a statement
// takes the statement away.
func Of(about string, _, _, _ any) Mutant { return Mutant{about} }

// String is the rule, and how it is broken.
func (m Mutant) String() string { return m.about }
