# The test programs: which module, which parameters, which sources.

# ---- C++ against C++: host_test NAME FOLDER links every tb/FOLDER/*_test.cpp with the host library.
define host_test
build/test/$(1): $$(patsubst %.cpp,build/host/%.o,$$(wildcard tb/$(2)/*.cpp)) build/host/tb/support/main.o build/host/libdither.a
	@mkdir -p $$(@D)
	@g++ $$^ $$(LIBS) -o $$@
TEST_PROGRAMS += build/test/$(1)
endef
$(foreach t,formats data model model_check program,$(if $(wildcard tb/$(t)/*_test.cpp),$(eval $(call host_test,$(t),$(t)))))

# ---- RTL against C++: rtl_test NAME TOP SOURCES PARAMETERS EXTRA_SV
define rtl_test
build/tb/$(1)/V$(2).mk:
	@mkdir -p $$(@D)
	@echo '  verilate $(1)'
	@$$(VERILATE) --assert --prefix V$(2) --top-module $(2) $(4) --Mdir $$(@D) $$(RTL_PKGS) $(5) \
	  $$(if $(5),,$$(firstword $$(wildcard rtl/*/$(2).sv)))
build/tb/$(1)/V$(2)__ALL.a: build/tb/$(1)/V$(2).mk
	$$(VL_MAKE) -f V$(2).mk V$(2)__ALL.a verilated.o verilated_threads.o > $$(@D)/build.log 2>&1 \
	  || { cat $$(@D)/build.log; exit 1; }
	@touch $$@
build/tb/$(1)/%.o: %.cpp build/tb/$(1)/V$(2).mk
	@mkdir -p $$(@D)
	@echo '  c++      $$< ($(1))'
	@$$(CXX) $$(VL_FLAGS) -Ibuild/tb/$(1) -c $$< -o $$@
build/test/$(1): $(patsubst %.cpp,build/tb/$(1)/%.o,$(3)) build/host/tb/support/main.o build/tb/$(1)/V$(2)__ALL.a build/host/libdither.a
	@mkdir -p $$(@D)
	@g++ $$^ build/tb/$(1)/verilated.o build/tb/$(1)/verilated_threads.o $$(LIBS) -o $$@
TEST_PROGRAMS += build/test/$(1)
-include build/tb/$(1)/V$(2)__ver.d
endef

$(eval $(call rtl_test,pe_array-8,pe_array,tb/tensor/pe_array_test.cpp,-GRows=8))
$(eval $(call rtl_test,pe_array-16,pe_array,tb/tensor/pe_array_test.cpp,-GRows=16))
$(eval $(call rtl_test,tensor_engine-8,tensor_engine,tb/tensor/tensor_engine_test.cpp,-GRows=8))
$(eval $(call rtl_test,tensor_engine-16,tensor_engine,tb/tensor/tensor_engine_test.cpp,-GRows=16))
