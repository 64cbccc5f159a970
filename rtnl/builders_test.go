//go:build linux

package rtnl_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestCmdOfEveryBuilder finds, in this package's source, the exported functions
// that give a request, and in that of its tests the deeds and questions, and
// wants each of the former in one of the latter: TestCmdSends compares it with
// what ip(8) sends, TestCmdDoes its effect with that of ip.
func TestCmdOfEveryBuilder(t *testing.T) {
	builders := builders(t)
	compared, written := used(t)
	for _, name := range builders {
		if !compared[name] && !written[name] {
			t.Errorf("%s: no deed and no question has it: it is not compared with what its Cmd sends", name)
		}
	}
	// ip(8) has no word for IFLA_INET_CONF: what Set does by a message, others
	// do by writing to a file. The effect alone is compared.
	if got, want := slices.Sorted(maps.Keys(written)), []string{"Set"}; !slices.Equal(got, want) {
		t.Errorf("the Cmd of %q sends nothing that could be compared, want that of %q alone", got, want)
	}
	for name := range maps.Keys(compared) {
		if !slices.Contains(builders, name) {
			t.Errorf("%s: a deed or question has it, and it is not found in the source", name)
		}
	}
}

// builders are the exported functions of the package that give an nl.Request,
// or several.
func builders(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, f := range source(t, func(name string) bool { return !strings.HasSuffix(name, "_test.go") }) {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || !fn.Name.IsExported() || fn.Type.Results == nil {
				continue
			}
			for _, r := range fn.Type.Results.List {
				if isRequest(r.Type) {
					names = append(names, fn.Name.Name)
				}
			}
		}
	}
	return names
}

// isRequest tells whether a type is nl.Request, or a list of them.
func isRequest(e ast.Expr) bool {
	if list, ok := e.(*ast.ArrayType); ok {
		e = list.Elt
	}
	s, ok := e.(*ast.SelectorExpr)
	return ok && s.Sel.Name == "Request" && isName(s.X, "nl")
}

// used are the builders in deeds and questions, those apart whose Cmd sends no
// message.
func used(t *testing.T) (compared, written map[string]bool) {
	t.Helper()
	compared, written = make(map[string]bool), make(map[string]bool)
	file := source(t, func(name string) bool { return name == "deeds_test.go" })[0]
	// A builder may be called by a function that the table names.
	helpers := make(map[string]ast.Node)
	var rows []ast.Expr
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			helpers[d.Name.Name] = d.Body
		case *ast.GenDecl:
			for _, s := range d.Specs {
				v, ok := s.(*ast.ValueSpec)
				if !ok || len(v.Values) != 1 || v.Names[0].Name != "deeds" && v.Names[0].Name != "questions" {
					continue
				}
				rows = append(rows, v.Values[0].(*ast.CompositeLit).Elts...)
			}
		}
	}
	for _, row := range rows {
		to := compared
		for _, e := range row.(*ast.CompositeLit).Elts {
			field := e.(*ast.KeyValueExpr)
			if isName(field.Key, "writes") {
				to = written
			}
		}
		for _, e := range row.(*ast.CompositeLit).Elts {
			field := e.(*ast.KeyValueExpr)
			if !isName(field.Key, "req") {
				continue
			}
			calls(field.Value, to)
			if call, ok := field.Value.(*ast.CallExpr); ok {
				if name, ok := call.Fun.(*ast.Ident); ok {
					calls(helpers[name.Name], to)
				}
			}
		}
	}
	return compared, written
}

// calls notes which functions of rtnl are called in a piece of source.
func calls(n ast.Node, to map[string]bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if s, ok := call.Fun.(*ast.SelectorExpr); ok && isName(s.X, "rtnl") {
				to[s.Sel.Name] = true
			}
		}
		return true
	})
}

func isName(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

// source is files of this directory, read.
func source(t *testing.T, wanted func(string) bool) []*ast.File {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if !wanted(name) {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	if len(files) == 0 {
		t.Fatal("no source to look at")
	}
	return files
}
