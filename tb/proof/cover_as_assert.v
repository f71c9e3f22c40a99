// For techmap: a cover is an assertion of the opposite, which a solver refutes when it reaches the cover.
module \$cover (input A, input EN);
  \$assert _TECHMAP_REPLACE_ (.A(!A), .EN(EN));
endmodule
