package access_test

import (
	"fmt"
	"testing"

	"postern/db"
	"postern/internal/access"
)

// What follows says the ceiling a second time and otherwise: rights are sets of pairs of a
// permission and a reach, where whoever has one everywhere has it in an organization, too.
// A role outranks another one when it has a pair that the other one lacks.

// rights is such a set, a bit for each pair: the lower nine within an organization, the
// upper nine everywhere.
type rights uint32

const within = 9 // bits

// bit is the place of a permission in rights, in the order of the contract.
var bit = map[access.Permission]int{"users.view": 0, "users.edit": 1, "users.reset_password": 2, "users.reset_totp": 3,
	"organizations.edit": 4, "roles.edit": 5, "settings.edit": 6, "mail.view": 7, "audit.view": 8}

func rightsOf(role db.Role) (all rights) {
	for _, p := range role.Permissions {
		all |= 1 << bit[access.Permission(p)]
		if role.Scope == "everybody" {
			all |= 1 << (within + bit[access.Permission(p)])
		}
	}
	return all
}

func (r rights) outranks(other rights) bool { return r&^other != 0 }

// asks is the permission that the pages ask for, for each act, and whether it would change
// the role, the status, the organization or the authenticator.
var asks = map[access.Act]struct {
	permission access.Permission
	standing   bool
}{
	access.View: {"users.view", false}, access.Edit: {"users.edit", false}, access.ChangeRole: {"users.edit", true},
	access.ChangeOrganization: {"users.edit", true}, access.Activate: {"users.edit", true}, access.Deactivate: {"users.edit", true},
	access.Unlock: {"users.edit", true}, access.EndSessions: {"users.edit", false}, access.RevokeLinks: {"users.edit", false},
	access.Invite: {"users.edit", false}, access.Delete: {"users.edit", true}, access.ResetPassword: {"users.reset_password", false},
	access.ResetTOTP: {"users.reset_totp", true},
}

// every role there can be: each set of permissions, over each scope.
func everyRole() (roles []db.Role) {
	for _, scope := range []string{"everybody", "organization"} {
		for set := range 1 << len(permissions) {
			role := db.Role{ID: fmt.Sprintf("%s-%d", scope, set), Scope: scope}
			for i, p := range permissions {
				if set&(1<<i) != 0 {
					role.Permissions = append(role.Permissions, string(p))
				}
			}
			roles = append(roles, role)
		}
	}
	return roles
}

// someRoles are the built-in ones, those with a single permission, and the full one of an
// organization.
func someRoles() (roles []db.Role) {
	full := []string{"users.view", "users.edit", "users.reset_password", "users.reset_totp", "audit.view"}
	roles = []db.Role{
		{ID: "owner", Scope: "everybody", Permissions: append([]string{"organizations.edit", "roles.edit", "settings.edit", "mail.view"}, full...)},
		{ID: "support", Scope: "everybody", Permissions: []string{"users.view", "users.reset_password", "users.reset_totp", "mail.view"}},
		{ID: "auditor", Scope: "everybody", Permissions: []string{"users.view", "audit.view"}},
		{ID: "portal_administrator", Scope: "organization", Permissions: full},
		{ID: "customer", Scope: "organization"},
	}
	for _, p := range permissions {
		for _, scope := range []string{"everybody", "organization"} {
			roles = append(roles, db.Role{ID: scope + " " + string(p), Scope: scope, Permissions: []string{string(p)}})
		}
	}
	return roles
}

// Organizations of actors and targets; 0 is none.
const acme, umbrella = 7, 8

// expected is the verdict by the contract.
func expected(actor db.User, act access.Act, target db.User) access.Verdict {
	has, theirs := rightsOf(actor.Role), rightsOf(target.Role)
	may := func(p access.Permission) bool {
		near, far := has&(1<<bit[p]) != 0, has&(1<<(within+bit[p])) != 0
		return far || near && actor.OrganizationID != 0 && actor.OrganizationID == target.OrganizationID
	}
	oneself := actor.ID == target.ID
	switch {
	case !may("users.view"):
		return access.NotThere
	case act == access.View:
		return access.Allowed
	case !may(asks[act].permission):
		return access.Lacking
	case oneself && asks[act].standing:
		return access.Oneself
	case !oneself && theirs.outranks(has):
		return access.Outranked
	}
	return access.Allowed
}

func TestNobodyActsOnWhomTheyDoNotSeeOrWhoOutranksThem(t *testing.T) {
	if len(asks) != len(access.Acts) {
		t.Fatalf("%d acts are judged of %d", len(asks), len(access.Acts))
	}
	targets, verdicts := someRoles(), map[access.Verdict]int{}
	check := func(actor, target db.User) {
		for _, act := range access.Acts {
			got, want := access.Decide(access.HolderOf(actor), act, target), expected(actor, act, target)
			if verdicts[got]++; got != want {
				t.Fatalf("%v over %s in %d wants to %s %v over %s in %d (oneself: %v): %v instead of %v", actor.Role.Permissions, actor.Role.Scope,
					actor.OrganizationID, act, target.Role.Permissions, target.Role.Scope, target.OrganizationID, actor.ID == target.ID, got, want)
			}
		}
	}
	for _, role := range append(everyRole(), targets...) {
		for _, organization := range []int64{0, acme} {
			actor := db.User{ID: 1, Role: role, OrganizationID: organization}
			check(actor, actor)
			for _, theirs := range targets {
				for _, place := range []int64{0, acme, umbrella} {
					check(actor, db.User{ID: 2, Role: theirs, OrganizationID: place})
				}
			}
		}
	}
	for _, v := range []access.Verdict{access.Allowed, access.NotThere, access.Lacking, access.Outranked, access.Oneself} {
		if verdicts[v] == 0 {
			t.Errorf("nothing was judged as %v, so the test proves little", v)
		}
	}
}

func TestNobodyGivesWhatTheyLack(t *testing.T) {
	roles := everyRole()
	for _, own := range roles {
		h := access.HolderOf(db.User{ID: 1, Role: own, OrganizationID: acme})
		has := rightsOf(own)
		for _, role := range roles {
			if got, want := access.MayGive(h, role), !rightsOf(role).outranks(has); got != want {
				t.Fatalf("%v over %s gives %v over %s: %v", own.Permissions, own.Scope, role.Permissions, role.Scope, got)
			}
		}
	}
}

func TestNobodyPlacesSomebodyBeyondTheirScope(t *testing.T) {
	for _, role := range everyRole() {
		for _, organization := range []int64{0, acme} {
			h := access.HolderOf(db.User{ID: 1, Role: role, OrganizationID: organization})
			for _, place := range []int64{0, acme, umbrella} {
				want := role.Scope == "everybody" || organization == acme && place == acme
				if got := access.MayPlace(h, place); got != want {
					t.Fatalf("%s in %d puts somebody into %d: %v", role.Scope, organization, place, got)
				}
			}
			sees := int64(0)
			if role.Scope == "organization" {
				if sees = organization; sees == 0 {
					sees = -1
				}
			}
			if h.Over() != sees {
				t.Fatalf("%s in %d sees the users of %d", role.Scope, organization, h.Over())
			}
		}
	}
}

func TestAPermissionExistsOnlyWhereItMeansSomething(t *testing.T) {
	overOrganizations := map[access.Permission]bool{"users.view": true, "users.edit": true, "users.reset_password": true,
		"users.reset_totp": true, "audit.view": true}
	for _, p := range permissions {
		if !access.Grantable(p, "everybody") || access.Grantable(p, "organization") != overOrganizations[p] {
			t.Errorf("%s over everybody: %v, over an organization: %v", p, access.Grantable(p, "everybody"), access.Grantable(p, "organization"))
		}
	}
	for _, p := range []access.Permission{"", "users", "users.*", "USERS.VIEW", "users.view "} {
		if access.Grantable(p, "everybody") {
			t.Errorf("%q can be held", p)
		}
	}
	if len(access.Permissions) != len(permissions) {
		t.Errorf("there are %d permissions", len(access.Permissions))
	}
}

func TestTheOperatorMayEverything(t *testing.T) {
	for _, role := range everyRole() {
		for _, act := range access.Acts {
			if got := access.Decide(access.Operator, act, db.User{ID: 2, Role: role, OrganizationID: acme}); got != access.Allowed {
				t.Fatalf("%s somebody with %v: %v", act, role.Permissions, got)
			}
		}
		if !access.MayGive(access.Operator, role) {
			t.Fatalf("gives %v", role.Permissions)
		}
	}
	for _, p := range permissions {
		if !access.Operator.Has(p) || (access.Holder{}).Has(p) {
			t.Errorf("%s: operator %v, nobody %v", p, access.Operator.Has(p), (access.Holder{}).Has(p))
		}
	}
	if !access.MayPlace(access.Operator, 0) || !access.MayPlace(access.Operator, acme) || access.Operator.Over() != 0 {
		t.Error("somewhere the operator cannot place anybody")
	}
	// Whoever is nobody sees nobody: no right may come from a value that was never set.
	for _, act := range access.Acts {
		if got := access.Decide(access.Holder{}, act, db.User{ID: 2}); got != access.NotThere {
			t.Errorf("nobody may %s: %v", act, got)
		}
	}
}
